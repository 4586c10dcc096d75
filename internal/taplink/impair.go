//go:build linux

package taplink

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/voidbox-run/voidbox/link"
)

// Impairment makes a wire a bad one, by chances of each frame in a thousand. The zero value is a good wire.
type Impairment struct {
	Lost, Repeated, Late int // a late frame arrives after the next one
	Stalled              int // this frame and all behind it wait for a while, up to maxStall: jitter
	Seed                 uint64
}

const maxStall = 4 * time.Millisecond

// Wire is a wire whose quality may change while frames are under way. The zero value is a good one.
type Wire struct{ how atomic.Pointer[Impairment] }

// Become changes the wire, in both directions.
func (w *Wire) Become(i Impairment) { w.how.Store(&i) }

// direction carries frames one way, more or less.
type direction struct {
	wire    *Wire
	how     *Impairment // what rng was made for
	rng     *rand.Rand
	late    []byte
	lateNet link.NetHeader
}

// carry calls deliver for a frame, and for the one before it if that is late.
func (d *direction) carry(h link.NetHeader, frame []byte, deliver func(h link.NetHeader, frame []byte)) {
	switch d.fate() {
	case lost:
	case late:
		if d.late == nil {
			d.late, d.lateNet = append([]byte(nil), frame...), h
			return
		}
		deliver(h, frame)
	case repeated:
		deliver(h, frame)
		deliver(h, frame)
	case stalled:
		time.Sleep(time.Duration(d.rng.Int64N(int64(maxStall))))
		deliver(h, frame)
	case fine:
		deliver(h, frame)
	}
	if d.late != nil {
		deliver(d.lateNet, d.late)
		d.late = nil
	}
}

// fate is what becomes of a frame.
type fate int

const (
	fine fate = iota
	lost
	repeated
	late
	stalled
)

// fate casts the dice for a frame.
func (d *direction) fate() fate {
	how := d.wire.how.Load()
	if how == nil {
		return fine
	}
	if how != d.how {
		d.how, d.rng = how, rand.New(rand.NewPCG(how.Seed, how.Seed))
	}
	n := d.rng.IntN(1000)
	for i, chance := range [...]int{how.Lost, how.Repeated, how.Late, how.Stalled} {
		if n < chance {
			return lost + fate(i)
		}
		n -= chance
	}
	return fine
}
