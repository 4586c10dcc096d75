//go:build linux

package taplink

import (
	"math/rand/v2"

	"github.com/voidbox-run/voidbox/link"
)

// Impairment makes a wire a bad one, by chances of each frame in a thousand. The zero value is a good wire.
type Impairment struct {
	Lost, Repeated, Late int // a late frame arrives after the next one
	Seed                 uint64
}

// wire carries frames of one direction, more or less.
type wire struct {
	Impairment
	rng     *rand.Rand
	late    []byte
	lateNet link.NetHeader
}

func newWire(i Impairment) *wire {
	return &wire{Impairment: i, rng: rand.New(rand.NewPCG(i.Seed, i.Seed))}
}

// carry calls deliver for a frame, and for the one before it if that is late.
func (w *wire) carry(h link.NetHeader, frame []byte, deliver func(h link.NetHeader, frame []byte)) {
	fate := w.rng.IntN(1000)
	times := 1
	switch {
	case fate < w.Lost:
		times = 0
	case fate < w.Lost+w.Repeated:
		times = 2
	case fate < w.Lost+w.Repeated+w.Late && w.late == nil:
		w.late, w.lateNet = append([]byte(nil), frame...), h
		return
	}
	for range times {
		deliver(h, frame)
	}
	if w.late != nil {
		deliver(w.lateNet, w.late)
		w.late = nil
	}
}
