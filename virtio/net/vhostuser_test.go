//go:build linux

package net

import (
	"context"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/vhostuser"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// QEMU lends the queues of pairs and keeps the control queue, and starts and stops rings one by one.
func TestRingsOfQEMU(t *testing.T) {
	const features = virtio.FeatureVersion1 | virtio.FeatureIndirect | virtio.FeatureEventIdx | featureMergeRX | featureMultiple
	g := &guest{t: t, set: setup{pairs: 2}, events: make(chan event, 4)}
	g.dev, g.plugin = g.set.newDevice(t, nil)
	mem := virtiotest.NewMemory(t, 32<<20)
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
		p := &pair{g: g, rxSlot: make(map[uint16]int), txSlot: make(map[uint16]int)}
		p.rx, p.tx = virtiotest.NewRing(t, mem, ringSize, features), virtiotest.NewRing(t, mem, ringSize, features)
		p.rxAt, p.txAt = mem.Alloc(ringSize*g.rxRoom()), mem.Alloc(ringSize*txRoom)
		for slot := range ringSize {
			p.txFree = append(p.txFree, slot)
		}
		g.pairs = append(g.pairs, p)
		front.StartRing(receiveQueue(i), p.rx, 0)
		p.offer(ringSize)
		front.StartRing(transmitQueue(i), p.tx, 0)
	}
	g.epoch()
	both := func() {
		for i, p := range g.pairs {
			f := numbered(i, 600)
			p.send(f.packet())
			wantFrame(t, g.next(i), f)
			g.deliver(i, f)
			wantFrame(t, p.receive(), f)
		}
	}
	both()
	rx, tx := front.StopRing(receiveQueue(0)), front.StopRing(transmitQueue(0))
	f := numbered(7, 100)
	g.deliver(0, f) // waits
	g.pairs[1].send(f.packet())
	wantFrame(t, g.next(1), f)
	front.StartRing(receiveQueue(0), g.pairs[0].rx, rx)
	front.StartRing(transmitQueue(0), g.pairs[0].tx, tx)
	wantFrame(t, g.pairs[0].receive(), f)
	both()

	// What comes on a lane whose queues are not started does not stay.
	front.StopRing(receiveQueue(1))
	front.StopRing(transmitQueue(1))
	g.deliver(1, f)
	for g.dev.Metrics().RxInactive == 0 {
		g.pairs[0].send(f.packet())
		wantFrame(t, g.next(0), f)
	}
}
