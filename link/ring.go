//go:build linux

package link

import "sync/atomic"

// ring is one direction of a lane as both ends see it. Everything that the pointers and data reach is the peer's to
// change at any time.
type ring struct {
	data []byte
	// prod and cons run freely; bytes [cons, prod) are full. dataEvent and spaceEvent are the values that prod and cons
	// have to pass before the other side is kicked.
	prod, cons, dataEvent, spaceEvent *atomic.Uint32
}

func newRing(control, data []byte) ring {
	return ring{
		data:       data,
		prod:       wordAt(control, offProd),
		cons:       wordAt(control, offCons),
		dataEvent:  wordAt(control, offDataEvent),
		spaceEvent: wordAt(control, offSpaceEvent),
	}
}

// init makes an empty ring whose ends want no kick.
func (r *ring) init() {
	r.prod.Store(0)
	r.cons.Store(0)
	r.dataEvent.Store(^uint32(0))
	r.spaceEvent.Store(^uint32(0))
}

func (r *ring) size() uint32 { return uint32(len(r.data)) }
func (r *ring) mask() uint32 { return uint32(len(r.data)) - 1 }

// show stores v in a word of the ring, to be seen before the caller loads one that the peer writes: if each end could look
// before the other sees what it wrote, both would sleep. Store promises as much, but breaks it under the race detector on
// memory that is not Go's own, such as a mapping: there it becomes a plain store, which a later load overtakes. Swap does
// not, and without the detector it is the same instruction on amd64.
func show(word *atomic.Uint32, v uint32) { word.Swap(v) }

// passed tells whether a counter that went from old to now stepped over event (the rule of virtio's EVENT_IDX).
func passed(event, old, now uint32) bool { return now-event-1 < now-old }
