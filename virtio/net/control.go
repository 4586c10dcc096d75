//go:build linux

package net

import (
	"context"
	"encoding/binary"

	"github.com/voidbox-run/voidbox/virtio"
)

// Commands of the control queue (section 5.1.6.5): a class, a command, its data; and room for the answer.
const (
	classMultiple   = 4 // VIRTIO_NET_CTRL_MQ
	commandPairsSet = 0 // VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET
	pairsSetSize    = 4

	answerOK    = 0
	answerError = 1
)

// controller carries out the driver's commands, of which there is one: how many pairs it uses.
type controller struct {
	r     *run
	q     *virtio.Queue
	chain virtio.Chain
}

// serve answers commands until ctx ends. An error is the driver's.
func (c *controller) serve(ctx context.Context) error {
	for ctx.Err() == nil {
		ok, err := c.q.Pop(&c.chain)
		if err != nil {
			return err
		}
		if ok {
			if err := c.answer(); err != nil {
				return err
			}
			continue
		}
		if c.q.EnableKicks() {
			continue
		}
		select {
		case <-ctx.Done():
		case <-c.q.Kick().C():
		}
	}
	return nil
}

func (c *controller) answer() error {
	status := byte(answerError)
	if c.command(c.chain.Readable) {
		status = answerOK
	}
	n := c.chain.Writable.CopyFrom([]byte{status}, 0)
	c.q.Push(&c.chain, n)
	return c.q.Publish()
}

func (c *controller) command(guest virtio.Segments) bool {
	var raw [pairsSetSize]byte
	if guest.CopyTo(raw[:], 0) < len(raw) || raw[0] != classMultiple || raw[1] != commandPairsSet {
		return false
	}
	pairs := int(binary.LittleEndian.Uint16(raw[2:]))
	if pairs < 1 || pairs > c.r.d.cfg.Pairs || !c.r.hasPairs(pairs) {
		return false
	}
	c.r.d.pairs.Store(int32(pairs))
	for _, rx := range c.r.receivers {
		rx.recheck()
	}
	return true
}

// hasPairs tells whether the driver has set up the queues of the first n pairs.
func (r *run) hasPairs(n int) bool {
	if n > 1 && r.a.Features&featureMultiple == 0 {
		return false
	}
	for i := range n {
		if r.queue(receiveQueue(i)) == nil || r.queue(transmitQueue(i)) == nil {
			return false
		}
	}
	return true
}

// recheck makes a receiver that waits for buffers see whether it still should.
func (r *receiver) recheck() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}
