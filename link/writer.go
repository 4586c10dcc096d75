//go:build linux

package link

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// Reasons why TryReserve gives nothing. After the first two Wait helps.
var (
	ErrFull     = errors.New("link: ring is full")
	ErrNoCredit = errors.New("link: all credits are in use")
	ErrTooLarge = errors.New("link: payload is larger than the link carries")
)

// Writer is the producing end of a ring. One goroutine uses it at a time:
//
//	for each frame of a batch {
//		buf, err := w.TryReserve(link.KindFrame, len(frame))
//		if errors.Is(err, link.ErrFull) {
//			err = w.Wait(ctx, link.KindFrame, len(frame)) // or drop; but go on reading, in another goroutine
//			...
//		}
//		copy(buf, frame)
//		w.CommitFrame(header, len(frame))
//	}
//	w.Publish()
//
// The reader sees nothing before Publish.
type Writer struct {
	lane *Lane
	ring ring

	prod      uint32 // committed
	published uint32
	cons      uint32 // as far as the consumer's counter was accepted

	reserved  int // bytes of the open reservation, or -1
	kind      Kind
	announce  bool // an epoch record comes before anything else
	features  Features
	requested bool // requests were committed since the last Publish

	ready *event // we signal: there are records
	space *event // we wait: there is room, or a credit
	spin  spinner

	wantCredit atomic.Bool
}

// TryReserve returns n bytes of the ring for a payload, to be filled and committed before the next call. It never
// blocks: ErrFull, ErrNoCredit (requests only) and ErrTooLarge say why there is nothing; other errors mean that the link is
// down. The bytes hold what was there before.
func (w *Writer) TryReserve(kind Kind, n int) ([]byte, error) {
	w.reserved = -1
	if err := w.has(kind, n); err != nil {
		return nil, err
	}
	if toEnd := w.toEnd(); recordSize(uint32(n)) > toEnd {
		putWrap(w.ring.data[w.prod&w.ring.mask():])
		w.prod += toEnd
	}
	w.reserved, w.kind = n, kind
	start := w.prod&w.ring.mask() + recordHeader
	end := start + uint32(n)
	return w.ring.data[start:end:end], nil
}

// CommitFrame makes the first n bytes of the reservation a frame.
func (w *Writer) CommitFrame(h NetHeader, n int) {
	lo, hi := h.words()
	w.commit(KindFrame, n, lo, hi)
}

// CommitRequest makes the first n bytes of the reservation a request, whose reply may have room bytes, and returns its
// tag. What the device keeps under the tag's slot must be in place before Publish. room is cut to Link.MaxPayload.
func (w *Writer) CommitRequest(room uint32, n int) Tag {
	w.check(KindRequest, n)
	room = min(room, w.lane.link.geo.maxPayload)
	tag := w.lane.tags.take(room)
	w.requested = true
	w.commit(KindRequest, n, uint64(tag), uint64(room))
	return tag
}

// CommitNotice makes the first n bytes of the reservation a message that has no reply and needs no credit.
func (w *Writer) CommitNotice(n int) { w.commit(KindNotice, n, 0, 0) }

// CommitReply makes the first n bytes of the reservation the reply to a request and gives its credit back. Each request
// is answered once and within its room, also one from before a reset, for its credit.
func (w *Writer) CommitReply(tag Tag, n int) {
	w.commit(KindReply, n, uint64(tag), 0)
	w.lane.inFlight.Add(-1)
}

// Publish shows the reader what was committed, and kicks it if it sleeps.
func (w *Writer) Publish() error {
	if err := w.lane.link.Err(); err != nil {
		return err
	}
	if w.prod == w.published {
		return nil
	}
	if w.requested {
		w.lane.tags.handed.Add(1)
		w.requested = false
	}
	old := w.published
	w.published = w.prod
	show(w.ring.prod, w.prod)
	if passed(w.ring.dataEvent.Load(), old, w.prod) {
		w.ready.signal()
	}
	return nil
}

// Wait publishes, and blocks until TryReserve of the same arguments would succeed, the link goes down or ctx ends; the
// latter two are errors. The reader of the same lane has to go on meanwhile: replies bring credits.
func (w *Writer) Wait(ctx context.Context, kind Kind, n int) error {
	for {
		// The epoch record, too, has to be seen before there can be room.
		err := w.has(kind, n)
		if perr := w.Publish(); perr != nil {
			return perr
		}
		if !errors.Is(err, ErrFull) && !errors.Is(err, ErrNoCredit) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err == ErrFull && w.spin.until(w.ring.cons, w.cons) {
			continue
		}
		w.arm(kind, n)
		if err := w.has(kind, n); err == nil {
			w.disarm()
			return nil
		}
		if err := w.space.wait(ctx, w.lane.link); err != nil {
			return err
		}
	}
}

// Arm is Wait for those who wait for other things as well: it publishes and asks for a kick, which is an event of Event, once
// TryReserve of the same arguments may succeed. It returns false if it would already.
func (w *Writer) Arm(kind Kind, n int) bool {
	if w.Publish() != nil {
		return true // and nothing will come
	}
	w.arm(kind, n)
	if errors.Is(w.has(kind, n), ErrFull) {
		return true
	}
	w.disarm()
	return false
}

// Event is Reader.Event for the kicks that Arm asks for.
func (w *Writer) Event() int { return w.space.counter }

// arm asks for a kick once a good part of the ring is free, so that a writer that is faster than its reader sleeps
// seldom, and for a signal from our own reader when a credit comes.
func (w *Writer) arm(kind Kind, n int) {
	want := max(w.need(n), w.ring.size()/4)
	show(w.ring.spaceEvent, w.prod+want-w.ring.size()-1)
	w.wantCredit.Store(kind == KindRequest)
}

func (w *Writer) disarm() {
	w.ring.spaceEvent.Store(w.cons - 1)
	w.wantCredit.Store(false)
}

// credited is called by the lane's reader when replies have been released.
func (w *Writer) credited() {
	if w.wantCredit.Swap(false) {
		w.space.signal()
	}
}

// has tells whether a record could be written now.
func (w *Writer) has(kind Kind, n int) error {
	l := w.lane.link
	if err := l.Err(); err != nil {
		return err
	}
	if n < 0 || n > int(l.geo.maxPayload) {
		return ErrTooLarge
	}
	if !l.mayWrite(kind) {
		panic(fmt.Sprintf("link: this end does not write records of kind %d", kind))
	}
	if kind == KindRequest && !w.lane.tags.available() {
		return ErrNoCredit
	}
	if w.announce {
		if err := w.hasSpace(0); err != nil {
			return err
		}
		w.putEpoch()
	}
	return w.hasSpace(n)
}

func (w *Writer) hasSpace(n int) error {
	need := w.need(n)
	if w.free() >= need {
		return nil
	}
	if err := w.refresh(); err != nil {
		return err
	}
	if w.free() < need {
		return ErrFull
	}
	return nil
}

func (w *Writer) toEnd() uint32 { return w.ring.size() - w.prod&w.ring.mask() }
func (w *Writer) free() uint32  { return w.ring.size() - (w.prod - w.cons) }

// need returns what a payload of n bytes takes, with the end of the ring if it does not fit there.
func (w *Writer) need(n int) uint32 {
	need := recordSize(uint32(n))
	if toEnd := w.toEnd(); need > toEnd {
		need += toEnd
	}
	return need
}

// refresh accepts the consumer's counter if it is possible: neither back nor past what was published.
func (w *Writer) refresh() error {
	cons := w.ring.cons.Load()
	if cons%recordAlign != 0 || cons-w.cons > w.published-w.cons {
		return w.lane.link.Break(fmt.Errorf("%w: lane %d: consumer counter %#x is not between %#x and %#x",
			ErrViolation, w.lane.index, cons, w.cons, w.published))
	}
	w.cons = cons
	return nil
}

// putEpoch writes the record that starts an epoch; there is room.
func (w *Writer) putEpoch() {
	w.announce = false
	if toEnd := w.toEnd(); recordHeader > toEnd {
		putWrap(w.ring.data[w.prod&w.ring.mask():])
		w.prod += toEnd
	}
	w.put(KindEpoch, 0, uint64(w.features), 0)
}

func (w *Writer) check(kind Kind, n int) {
	if w.reserved < 0 || kind != w.kind || n < 0 || n > w.reserved {
		panic(fmt.Sprintf("link: commit of %d bytes of kind %d, reserved were %d of kind %d", n, kind, w.reserved, w.kind))
	}
}

func (w *Writer) commit(kind Kind, n int, ext0, ext1 uint64) {
	w.check(kind, n)
	w.reserved = -1
	w.put(kind, n, ext0, ext1)
}

func (w *Writer) put(kind Kind, n int, ext0, ext1 uint64) {
	if w.lane.link.isDown() {
		return // and the memory may be gone
	}
	h := makeHeader(kind, uint32(n), w.lane.epoch.Load(), ext0, ext1)
	h.put(w.ring.data[w.prod&w.ring.mask():])
	w.prod += recordSize(uint32(n))
}

// newEpoch has the epoch announced now or, if the ring is full, before anything else.
func (w *Writer) newEpoch(features Features) error {
	w.announce, w.features, w.reserved = true, features, -1
	err := w.hasSpace(0)
	if err == nil {
		w.putEpoch()
	}
	if err != nil && !errors.Is(err, ErrFull) {
		return err
	}
	return w.Publish()
}
