//go:build linux

package net

import (
	"context"
	"errors"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
)

// transmitter moves frames from a transmit queue to its lane.
type transmitter struct {
	d        *Device
	pair     int
	q        *virtio.Queue
	link     *link.Link
	out      *link.Writer // nil without a link that is up: frames are dropped
	agreed   link.Features
	maxFrame int // of any frame
	maxPlain int // of one that needs no segmentation

	chain virtio.Chain
	sent  moved
	need  int // the payload that the link was too full for
}

func newTransmitter(r *run, i int, q *virtio.Queue) *transmitter {
	t := &transmitter{d: r.d, pair: i, q: q, agreed: r.agreed(), maxPlain: r.d.cfg.MTU + vlanHeader}
	t.maxFrame = max(t.maxPlain, maxSegments)
	if l := r.d.link; l != nil {
		t.link, t.out = l, l.Lane(i).Out
		t.maxFrame = min(t.maxFrame, l.MaxPayload())
	}
	return t
}

// outcome is why a batch ended.
type outcome int

const (
	more     outcome = iota // there may be more to do at once
	idle                    // the queue is empty, or the lane
	full                    // the other side has no room: a full link, or a guest without buffers
	linkDown                // there is nothing left to wait for
)

// serve moves frames until ctx ends. An error is the driver's.
func (t *transmitter) serve(ctx context.Context) error {
	for ctx.Err() == nil {
		t.q.DisableKicks()
		why, err := t.batch()
		// The plugin sees the frames before the driver may use their buffers again.
		t.publish()
		if perr := t.q.Publish(); err == nil {
			err = perr
		}
		if err != nil {
			return err
		}
		switch why {
		case full:
			if err := t.out.Wait(ctx, link.KindFrame, t.need); unplugged(ctx, t.link, err) {
				t.out = nil
			}
		case idle:
			if t.q.EnableKicks() {
				continue
			}
			select {
			case <-ctx.Done():
			case <-t.q.Kick().C():
			}
		}
	}
	return nil
}

// unplugged tells whether waiting has failed for the sake of the link and not of ctx. The link is down then, whatever it was.
func unplugged(ctx context.Context, l *link.Link, err error) bool {
	if err == nil || ctx.Err() != nil {
		return false
	}
	_ = l.Break(err)
	return true
}

func (t *transmitter) publish() {
	t.sent.flush(&t.d.count.txFrames, &t.d.count.txBytes)
	if t.out != nil && t.out.Publish() != nil {
		t.out = nil
	}
}

// batch sends some frames.
func (t *transmitter) batch() (outcome, error) {
	for n := 0; n < batch && t.sent.bytes < batchBytes; n++ {
		ok, err := t.q.Pop(&t.chain)
		if !ok {
			return idle, err
		}
		if !t.frame(t.chain.Readable) {
			t.q.Unpop(&t.chain)
			return full, nil
		}
		t.q.Push(&t.chain, 0)
	}
	return more, nil
}

// frame sends one frame, or drops it. False means that the link has no room for it now.
func (t *transmitter) frame(guest virtio.Segments) bool {
	h, n, ok := t.judge(guest)
	if !ok {
		t.d.count.txInvalid.Add(1)
		return true
	}
	if t.out == nil {
		t.d.count.txNoCarrier.Add(1)
		return true
	}
	buf, err := t.out.TryReserve(link.KindFrame, n)
	switch {
	case err == nil:
	case errors.Is(err, link.ErrFull):
		t.need = n
		return false
	default:
		t.out = nil
		t.d.count.txNoCarrier.Add(1)
		return true
	}
	guest.CopyTo(buf, headerSize)
	t.out.CommitFrame(h, n)
	t.sent.add(n)
	return true
}

// judge copies the header out and returns it with the length of the frame behind it, if both are right.
func (t *transmitter) judge(guest virtio.Segments) (h link.NetHeader, n int, ok bool) {
	n = guest.Len() - headerSize
	if n < etherHeader || n > t.maxFrame {
		return h, 0, false
	}
	var raw [headerSize]byte
	guest.CopyTo(raw[:], 0)
	h = link.ParseNetHeader(raw)
	if h.GSOType == link.NetGSONone && n > t.maxPlain {
		return h, 0, false
	}
	if h.Check(n, t.agreed, link.TowardsNetwork) != nil {
		return h, 0, false
	}
	return tidy(h, link.NetNeedsChecksum), n, true
}
