//go:build linux

package net

import (
	"context"
	"fmt"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
)

// receiver moves frames from a lane to its receive queue. It goes on reading the lane where the driver does not use the
// queue, so that what a plugin sends there by mistake does not stay.
type receiver struct {
	d          *Device
	pair       int
	controlled bool
	q          *virtio.Queue // nil if the driver has set none up
	link       *link.Link
	in         *link.Reader
	held       *held
	poke       chan struct{} // the number of pairs in use has changed

	agreed    link.Features
	mergeable bool
	maxPlain  int // of a frame without segmentation, if the driver knows its MTU

	// chains are the guest's buffers in the order of Pop; the first popped of them are in our hands. A chain that was popped
	// for a frame which then did not come to it waits for the next one.
	chains []virtio.Chain
	popped int
	moved  moved
}

func newReceiver(r *run, i int, q *virtio.Queue, controlled bool) *receiver {
	l := r.d.link
	rx := &receiver{
		d: r.d, pair: i, controlled: controlled, q: q, link: l, in: l.Lane(i).In, held: &r.d.held[i],
		poke:   make(chan struct{}, 1),
		agreed: r.agreed(), mergeable: r.a.Features&featureMergeRX != 0, maxPlain: l.MaxPayload(),
	}
	if r.a.Features&featureMTU != 0 {
		rx.maxPlain = r.d.cfg.MTU + vlanHeader
	}
	return rx
}

// active tells whether the driver uses the queue.
func (r *receiver) active() bool {
	return r.q != nil && (!r.controlled || r.pair < int(r.d.pairs.Load()))
}

// serve moves frames until ctx ends or the link goes down. An error is the driver's.
func (r *receiver) serve(ctx context.Context) error {
	defer r.giveBack()
	if r.q != nil {
		r.q.DisableKicks()
	}
	for ctx.Err() == nil {
		why, err := r.batch()
		if perr := r.publish(); err == nil {
			err = perr
		}
		if err != nil {
			return err
		}
		switch why {
		case linkDown:
			return nil
		case idle:
			if err := r.in.Wait(ctx); unplugged(ctx, r.link, err) {
				return nil
			}
		case full:
			if r.q.EnableKicks() {
				continue
			}
			select {
			case <-ctx.Done():
			case <-r.link.Done():
			case <-r.poke:
			case <-r.q.Kick().C():
			}
			r.q.DisableKicks()
		}
	}
	return nil
}

func (r *receiver) publish() error {
	r.moved.flush(&r.d.count.rxFrames, &r.d.count.rxBytes)
	if r.q == nil {
		return nil
	}
	return r.q.Publish()
}

// giveBack returns the guest's buffers that no frame came to.
func (r *receiver) giveBack() {
	for ; r.popped > 0; r.popped-- {
		r.q.Unpop(&r.chains[r.popped-1])
	}
}

// batch delivers some frames.
func (r *receiver) batch() (outcome, error) {
	for n := 0; n < batch && r.moved.bytes < batchBytes; n++ {
		active := r.active()
		// A buffer first: what was delivered can be released then, before we wait for one.
		if active && r.popped == 0 {
			if ok, err := r.pop(); !ok {
				r.release()
				return full, err
			}
		}
		if !r.held.ok {
			ok, err := r.in.Next(&r.held.rec)
			if err != nil {
				return linkDown, nil
			}
			if !ok {
				return idle, nil
			}
			r.held.ok = true
		}
		if !active {
			r.d.count.rxInactive.Add(1)
		} else if done, err := r.deliver(&r.held.rec); !done {
			return full, err
		}
		r.held.ok = false
	}
	r.release()
	return more, nil
}

// release gives the ring space of what was delivered back. A record that is still held keeps all of its batch.
func (r *receiver) release() {
	if !r.held.ok {
		r.in.Release()
	}
}

// pop takes one more buffer of the guest's.
func (r *receiver) pop() (bool, error) {
	if r.popped == len(r.chains) {
		r.chains = append(r.chains, virtio.Chain{})
	}
	c := &r.chains[r.popped]
	ok, err := r.q.Pop(c)
	if !ok {
		return false, err
	}
	r.popped++
	if n := c.Writable.Len(); n < headerSize {
		return false, fmt.Errorf("%w: receive buffer of %d bytes", virtio.ErrRing, n)
	}
	return true, nil
}

// deliver writes a frame to the guest, or drops one that cannot be. False means that the guest has too few buffers now.
func (r *receiver) deliver(rec *link.Record) (bool, error) {
	n := len(rec.Payload)
	if !r.judge(rec.Net, n) {
		r.d.count.rxInvalid.Add(1)
		return true, nil
	}
	for room := r.room(); room < headerSize+n; room = r.room() {
		if !r.mergeable && r.popped > 0 || r.popped == r.q.Size() {
			r.d.count.rxTooLarge.Add(1)
			return true, nil
		}
		if ok, err := r.pop(); !ok {
			return false, err
		}
	}
	r.write(rec)
	r.moved.add(n)
	return true, nil
}

func (r *receiver) judge(h link.NetHeader, n int) bool {
	if n < etherHeader || h.GSOType == link.NetGSONone && n > r.maxPlain {
		return false
	}
	return h.Check(n, r.agreed, link.TowardsGuest) == nil
}

func (r *receiver) room() int {
	n := 0
	for i := range r.popped {
		n += r.chains[i].Writable.Len()
	}
	return n
}

// write puts the frame into as many of the popped buffers as it needs, and hands them to the guest.
func (r *receiver) write(rec *link.Record) {
	flags := uint8(0) // without VIRTIO_NET_F_GUEST_CSUM there are none (section 5.1.6.4.1)
	if r.agreed&link.FeatureGuestChecksum != 0 {
		flags = link.NetNeedsChecksum | link.NetDataValid
	}
	h := tidy(rec.Net, flags)
	used, room := 0, 0
	for room < headerSize+len(rec.Payload) {
		room += r.chains[used].Writable.Len()
		used++
	}
	h.NumBuffers = uint16(used)
	raw := h.Bytes()
	r.chains[0].Writable.CopyFrom(raw[:], 0)
	left, offset := rec.Payload, headerSize
	for i := range used {
		c := &r.chains[i]
		n := c.Writable.CopyFrom(left, offset)
		left = left[n:]
		r.q.Push(c, offset+n)
		offset = 0
	}
	r.shift(used)
}

// shift takes the first n chains out of the list, and keeps their slices for later ones.
func (r *receiver) shift(n int) {
	for i := n; i < r.popped; i++ {
		r.chains[i-n], r.chains[i] = r.chains[i], r.chains[i-n]
	}
	r.popped -= n
}
