//go:build linux

package fs

import (
	"context"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/vhostuser"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// QEMU stops and starts rings one by one, and each time the device gets new queues. Requests that are in flight go on.
func TestRequestsSurviveStoppedRingsOfQEMU(t *testing.T) {
	const features = virtio.FeatureVersion1 | virtio.FeatureIndirect | virtio.FeatureEventIdx
	g := &guest{t: t, set: setup{drain: 1}, events: make(chan event, 4)}
	g.dev, g.plugin = g.set.newDevice(t, g.onLink)
	mem := virtiotest.NewMemory(t, 8<<20)
	g.drv = &virtiotest.MMIODriver{Mem: mem}
	front, back := virtiotest.NewFrontEnd(t)
	served := make(chan error, 1)
	go func() { served <- vhostuser.Serve(context.Background(), back, g.dev) }()
	t.Cleanup(func() {
		_ = front.Conn.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	front.Negotiate(features)
	front.SetMemory(mem)
	for i := range 2 {
		q := &queue{g: g, ring: virtiotest.NewRing(t, mem, ringSize, features), slots: make(map[uint16]int)}
		q.at = mem.Alloc(ringSize * (inRoom + outRoom))
		for slot := range ringSize {
			q.free = append(q.free, slot)
		}
		g.queues = append(g.queues, q)
		front.StartRing(i, q.ring, 0)
	}
	g.wantAlive()
	messages, heads, tags := g.stuck()
	for range 3 {
		bases := [2]uint16{front.StopRing(0), front.StopRing(1)}
		for i, q := range g.queues {
			front.StartRing(i, q.ring, bases[i])
		}
	}
	// One of them alone, with an answer for the other.
	base := front.StopRing(0)
	g.answer(0, tags[0], replyTo(messages[0], 0, "first"))
	g.answer(1, tags[1], replyTo(messages[1], 0, "second"))
	g.queues[1].want(heads[1], replyTo(messages[1], 0, "second"))
	front.StartRing(0, g.queues[0].ring, base)
	g.queues[0].want(heads[0], replyTo(messages[0], 0, "first"))
	g.wantAlive()

	// What is in flight when the guest is started anew is dropped.
	old, _, tags := g.stuck()
	for i := range g.queues {
		front.StopRing(i)
	}
	for i, q := range g.queues {
		q.ring.Clear()
		q.slots = make(map[uint16]int)
		front.StartRing(i, q.ring, 0)
		g.answer(i, tags[i], replyTo(old[i], 0, "late"))
	}
	g.wantAlive()
	if err := g.plugin.Err(); err != nil {
		t.Errorf("the link is down: %v", err)
	}
}
