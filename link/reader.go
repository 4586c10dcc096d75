//go:build linux

package link

import (
	"context"
	"fmt"
)

// Reader is the consuming end of a ring. One goroutine uses it:
//
//	var rec link.Record
//	for {
//		ok, err := r.Next(&rec)
//		if err != nil { return err }  // the link is down
//		if ok { use(&rec); continue }
//		if err := r.Wait(ctx); err != nil { return err }
//	}
//
// Everything in the ring is the peer's. What breaks a rule takes the link down, and Next returns ErrViolation.
type Reader struct {
	lane *Lane
	ring ring

	cons uint32 // given back
	next uint32 // where the next record starts
	prod uint32 // as far as the producer's counter was accepted

	ready *event // we wait: there are records
	space *event // we signal: there is room again
	spin  spinner

	seen     uint32 // device: epoch of the last record
	answered []uint16
}

// Next returns the next record in rec, false when there is none at present. Records that are left over from before a
// reset are passed over. Frames and requests keep their place in the ring until Release or Wait.
func (r *Reader) Next(rec *Record) (bool, error) {
	if err := r.lane.link.Err(); err != nil {
		return false, err
	}
	if r.next == r.prod {
		if err := r.refresh(); err != nil {
			return false, err
		}
	}
	// The counter was read once, so that a peer which goes on writing cannot keep us here.
	for r.next != r.prod {
		wanted, err := r.decode(rec)
		if err != nil {
			*rec = Record{}
			return false, err
		}
		if wanted {
			return true, nil
		}
	}
	return false, nil
}

// Release gives the ring space of all records that Next has returned back to the producer, and the credits of replies to
// the lane's Writer. Their payloads must no longer be used.
func (r *Reader) Release() {
	if r.lane.link.isDown() || r.next == r.cons {
		return
	}
	if len(r.answered) > 0 {
		r.lane.tags.giveBack(r.answered)
		r.answered = r.answered[:0]
		r.lane.Out.credited()
	}
	old := r.cons
	r.cons = r.next
	show(r.ring.cons, r.cons)
	if passed(r.ring.spaceEvent.Load(), old, r.cons) {
		r.space.signal()
	}
}

// Wait releases, and blocks until there may be a record, the link goes down or ctx ends; the latter two are errors.
func (r *Reader) Wait(ctx context.Context) error {
	r.Release()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.lane.link.Err(); err != nil {
			return err
		}
		if r.next != r.prod || r.spin.until(r.ring.prod, r.prod) {
			return nil
		}
		// Ask for a kick as soon as the counter leaves its place, and look again: the producer may have passed before
		// it could see that.
		show(r.ring.dataEvent, r.prod)
		if r.ring.prod.Load() != r.prod {
			r.ring.dataEvent.Store(r.prod - 1)
			return nil
		}
		if err := r.ready.wait(ctx, r.lane.link); err != nil {
			return err
		}
	}
}

// Pending tells whether there may be a record, for those who look for one again and again. It costs next to nothing.
func (r *Reader) Pending() bool {
	return !r.lane.link.isDown() && (r.next != r.prod || r.ring.prod.Load() != r.prod)
}

// Arm is Wait for those who wait for other things as well: it releases and asks for a kick, which is an event of Event. It returns false
// if there is a record already.
func (r *Reader) Arm() bool {
	r.Release()
	if r.lane.link.isDown() {
		return true // and nothing will come
	}
	if r.next != r.prod {
		return false
	}
	show(r.ring.dataEvent, r.prod)
	if r.ring.prod.Load() != r.prod {
		r.ring.dataEvent.Store(r.prod - 1)
		return false
	}
	return true
}

// Event returns a descriptor that becomes readable with each kick, for an edge-triggered epoll instance (EPOLLIN | EPOLLET) and nothing
// else. Nobody need read it. It is gone once the link was closed.
func (r *Reader) Event() int { return r.ready.counter }

// refresh accepts the producer's counter if it is possible.
func (r *Reader) refresh() error {
	prod := r.ring.prod.Load()
	full := prod - r.cons
	switch {
	case prod%recordAlign != 0:
		return r.violation("producer counter %#x is not aligned", prod)
	case full > r.ring.size():
		return r.violation("producer counter %#x is %d bytes ahead of %#x, and the ring has %d", prod, full, r.cons, r.ring.size())
	case full < r.prod-r.cons:
		return r.violation("producer counter went back from %#x to %#x", r.prod, prod)
	}
	r.prod = prod
	return nil
}

// decode takes the record at next, of which there is one, and steps over it. wanted is false for what the caller need
// not see.
func (r *Reader) decode(rec *Record) (wanted bool, err error) {
	off := r.next & r.ring.mask()
	full, toEnd := r.prod-r.next, r.ring.size()-off
	var h header
	h[0] = load64(r.ring.data, off)
	h[1] = load64(r.ring.data, off+8)
	if h.kind() == kindWrap {
		return false, r.wrap(&h, full, toEnd)
	}
	room := min(full, toEnd)
	if room < recordHeader {
		return false, r.violation("%d bytes where a record should start", room)
	}
	h[2] = load64(r.ring.data, off+16)
	h[3] = load64(r.ring.data, off+24)
	n := h.length()
	if n > r.lane.link.geo.maxPayload || recordSize(n) > room {
		return false, r.violation("record of %d bytes where %d are left and %d allowed", n, room-recordHeader, r.lane.link.geo.maxPayload)
	}
	if h.reserved() != 0 {
		return false, r.violation("record of kind %d with bits that must be zero", h.kind())
	}
	wanted, err = r.accept(&h)
	if err != nil {
		return false, err
	}
	r.next += recordSize(n)
	if !wanted {
		return false, nil
	}
	start := off + recordHeader
	h.decode(rec, r.ring.data[start:start+n:start+n])
	return true, nil
}

func (h *header) decode(rec *Record, payload []byte) {
	*rec = Record{Kind: h.kind(), Epoch: h.epoch(), Payload: payload}
	switch rec.Kind {
	case KindFrame:
		rec.Net = netHeaderOf(h[2], h[3])
	case KindRequest:
		rec.Tag, rec.Room = Tag(h[2]), h.room()
	case KindReply:
		rec.Tag = Tag(h[2])
	case KindEpoch:
		rec.Features = Features(h[2])
	}
}

// wrap steps over the end of the ring. A wrap record at the start would step over all of it.
func (r *Reader) wrap(h *header, full, toEnd uint32) error {
	if toEnd == r.ring.size() || toEnd > full || h[0] != uint64(kindWrap)<<32 || h[1] != 0 {
		return r.violation("wrap record %#x %#x with %d bytes to the end of the ring and %d in it", h[0], h[1], toEnd, full)
	}
	r.next += toEnd
	return nil
}

// accept judges a record by what it is.
func (r *Reader) accept(h *header) (wanted bool, err error) {
	l := r.lane.link
	if !l.mayRead(h.kind()) {
		return false, r.violation("record of kind %d, which this end does not read", h.kind())
	}
	if l.device {
		return r.acceptAtDevice(h)
	}
	return true, r.acceptAtPlugin(h)
}

func (r *Reader) acceptAtDevice(h *header) (wanted bool, err error) {
	now, e := r.lane.epoch.Load(), h.epoch()
	if now-e >= 1<<31 || e-r.seen >= 1<<31 {
		return false, r.violation("record of epoch %d, after %d, in epoch %d", e, r.seen, now)
	}
	r.seen = e
	if h.kind() != KindReply {
		return e == now, nil
	}
	wanted, err = r.lane.tags.answer(Tag(h[2]), h.length())
	if err != nil {
		return false, r.violation("%w", err)
	}
	r.answered = append(r.answered, uint16(Tag(h[2]).Slot()))
	return wanted, nil
}

func (r *Reader) acceptAtPlugin(h *header) error {
	l, now := r.lane.link, r.lane.epoch.Load()
	if h.kind() == KindEpoch {
		if step := h.epoch() - now; step == 0 || step >= 1<<31 || h.length() != 0 || Features(h[2])&^l.features != 0 {
			return r.violation("epoch %d after %d, with features %#x of %#x and %d bytes", h.epoch(), now, h[2], l.features, h.length())
		}
		r.lane.epoch.Store(h.epoch())
		return nil
	}
	if h.epoch() != now {
		return r.violation("record of epoch %d in epoch %d", h.epoch(), now)
	}
	if h.kind() != KindRequest {
		return nil
	}
	if h.room() > l.geo.maxPayload {
		return r.violation("request with room for %d bytes, and a reply has at most %d", h.room(), l.geo.maxPayload)
	}
	if n := r.lane.inFlight.Add(1); n > int32(l.credits) {
		return r.violation("%d requests in flight, and %d were granted", n, l.credits)
	}
	return nil
}

func (r *Reader) violation(format string, args ...any) error {
	return r.lane.link.Break(fmt.Errorf("%w: lane %d: %w", ErrViolation, r.lane.index, fmt.Errorf(format, args...)))
}
