//go:build linux

package taplink

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/voidbox-run/voidbox/link"
)

// Impairment makes a wire a bad one, by chances of each frame in a thousand. The zero value is a good wire.
type Impairment struct {
	Lost, Repeated, Late int // a late frame arrives after the next one
	Seed                 uint64
}

// wire carries frames of one direction to deliver, more or less.
type wire struct {
	Impairment
	rng     *rand.Rand
	late    []byte
	lateNet link.NetHeader
	deliver func(h link.NetHeader, frame []byte) error
}

func newWire(i Impairment, deliver func(link.NetHeader, []byte) error) *wire {
	return &wire{Impairment: i, rng: rand.New(rand.NewPCG(i.Seed, i.Seed)), deliver: deliver}
}

func (w *wire) carry(h link.NetHeader, frame []byte) error {
	fate := w.rng.IntN(1000)
	times := 1
	switch {
	case fate < w.Lost:
		times = 0
	case fate < w.Lost+w.Repeated:
		times = 2
	case fate < w.Lost+w.Repeated+w.Late && w.late == nil:
		w.late, w.lateNet = append([]byte(nil), frame...), h
		return nil
	}
	for range times {
		if err := w.deliver(h, frame); err != nil {
			return err
		}
	}
	if w.late == nil {
		return nil
	}
	late := w.late
	w.late = nil
	return w.deliver(w.lateNet, late)
}

// send copies a frame into the ring and waits for room.
func send(ctx context.Context, out *link.Writer, h link.NetHeader, frame []byte) error {
	for {
		buf, err := out.TryReserve(link.KindFrame, len(frame))
		if err == nil {
			copy(buf, frame)
			out.CommitFrame(h, len(frame))
			return out.Publish()
		}
		if !errors.Is(err, link.ErrFull) {
			return err
		}
		if err := out.Wait(ctx, link.KindFrame, len(frame)); err != nil {
			return err
		}
	}
}
