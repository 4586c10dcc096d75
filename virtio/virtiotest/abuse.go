//go:build linux

package virtiotest

import (
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/virtio"
)

// Abuse puts a device through what a hostile or broken guest does, over virtio-mmio: wild queues and rings, floods, resets in
// mid-flight, pauses under traffic, registers from two vCPUs at once. The device must neither panic nor hang nor grow, must leave
// guest memory alone once it is reset, and must start again then. newDevice makes a device of the kind, with whatever it needs on
// the host's side, and has t.Cleanup close it. Run it under the race detector too.
func Abuse(t *testing.T, newDevice func(t testing.TB) virtio.Device) {
	for _, c := range []struct {
		name string
		run  func(*abuser)
	}{
		{"negotiation out of order", (*abuser).negotiateWrongly},
		{"queues in wild places", (*abuser).wildQueues},
		{"kicks of queues that are not there", (*abuser).kickNothing},
		{"broken rings", (*abuser).brokenRings},
		{"random chains", (*abuser).randomChains},
		{"reset in flight", (*abuser).resetInFlight},
		{"pause under traffic", (*abuser).pauseUnderTraffic},
		{"moved under traffic", (*abuser).moveUnderTraffic},
		{"two vCPUs", (*abuser).twoCPUs},
		{"growth", (*abuser).growth},
		{"memory goes away", (*abuser).memoryGoes},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAbuser(t, newDevice)
			defer watch(t).Stop()
			c.run(a)
			a.usable()
		})
	}
}

// watch ends a test that hangs, with all stacks.
func watch(t testing.TB) *time.Timer {
	name := t.Name()
	return time.AfterFunc(4*Patience, func() {
		debug.SetTraceback("all")
		panic("virtiotest: " + name + " hangs")
	})
}

const (
	abuseRing = 16
	abuseData = 1 << 18 // bytes that chains point to
)

// abuser is the guest.
type abuser struct {
	*MMIODriver
	t         *testing.T
	newDevice func(t testing.TB) virtio.Device
	random    *rand.Rand
	data      uint64
}

func newAbuser(t *testing.T, newDevice func(t testing.TB) virtio.Device) *abuser {
	mem := NewMemory(t, 4<<20)
	a := &abuser{
		MMIODriver: NewMMIODriver(t, newDevice(t), mem), t: t, newDevice: newDevice,
		random: rand.New(rand.NewPCG(1, 2)),
	}
	a.data = mem.Alloc(abuseData)
	a.Start(AllFeatures, abuseRing)
	a.Reset()
	return a
}

// usable demands that the device starts.
func (a *abuser) usable() {
	a.t.Helper()
	a.Start(AllFeatures, abuseRing)
	if s := a.Get(RegStatus); s != StatusAcknowledge|StatusDriver|StatusFeaturesOK|StatusDriverOK {
		a.t.Errorf("status %#x when started anew", s)
	}
	a.Reset()
}

// pause lets the device's goroutines see what there is. Nothing depends on its length.
func (a *abuser) pause() {
	select {
	case <-a.Config:
	case <-time.After(time.Millisecond):
	}
}

func (a *abuser) negotiateWrongly() {
	for v := range uint32(256) {
		a.Reset()
		a.Set(RegStatus, v)
		a.Set(RegDriverFeatures, ^uint32(0))
		a.Set(RegStatus, v|StatusFeaturesOK)
		a.Set(RegStatus, v|StatusFeaturesOK|StatusDriverOK)
		if s := a.Get(RegStatus); s&(StatusFeaturesOK|StatusDriverOK) != 0 {
			a.t.Fatalf("status %#x after %#x without features", s, v)
		}
	}
	// Started without any queue.
	a.Negotiate(AllFeatures)
	a.DriverOK()
	a.pause()
}

func (a *abuser) wildQueues() {
	a.Negotiate(AllFeatures)
	for i := 0; a.QueueMax(i) > 0; i++ {
		r, limit := a.Rings[i], a.QueueMax(i)
		for name, ok := range map[string]bool{
			"size 0":       a.SetQueue(i, 0, r.Desc, r.Avail, r.Used),
			"size 3":       a.SetQueue(i, 3, r.Desc, r.Avail, r.Used),
			"too large":    a.SetQueue(i, 2*limit, r.Desc, r.Avail, r.Used),
			"size 2^32-1":  a.SetQueue(i, -1, r.Desc, r.Avail, r.Used),
			"size 2^16+8":  a.SetQueue(i, 1<<16+8, r.Desc, r.Avail, r.Used),
			"address 0":    a.SetQueue(i, 8, 0, r.Avail, r.Used),
			"beyond":       a.SetQueue(i, 8, r.Desc, 1<<40, r.Used),
			"last byte":    a.SetQueue(i, 8, r.Desc, r.Avail, Base+uint64(len(a.Mem.Bytes))-4),
			"wraps around": a.SetQueue(i, 8, 1<<64-16, r.Avail, r.Used),
			"not aligned":  a.SetQueue(i, 8, r.Desc+1, r.Avail, r.Used),
		} {
			if ok {
				a.t.Errorf("queue %d: %s is taken", i, name)
			}
		}
		a.SetQueue(i, r.Size, r.Desc, r.Avail, r.Used)
		a.SetQueue(i, r.Size, r.Used, r.Used, r.Used) // twice
	}
	a.DriverOK()
	a.kickAll()
	a.pause()
	// All three rings in one place.
	a.Negotiate(AllFeatures)
	for i, r := range a.Rings {
		a.SetQueue(i, r.Size, r.Desc, r.Desc, r.Desc)
	}
	a.DriverOK()
	a.kickAll()
	a.pause()
}

func (a *abuser) kickAll() {
	for i := range uint32(len(a.Rings) + 3) {
		a.Set(RegQueueNotify, i)
	}
	a.Set(RegQueueNotify, ^uint32(0))
}

func (a *abuser) kickNothing() {
	a.kickAll()
	a.Negotiate(AllFeatures)
	a.kickAll()
	// Only the last queue is there.
	last := len(a.Rings) - 1
	a.Rings[last].Clear()
	a.AddRing(last, a.Rings[last])
	a.DriverOK()
	for range 1000 {
		a.kickAll()
	}
	// And then no longer.
	a.Set(RegQueueSel, uint32(last))
	a.Set(RegQueueReady, 0)
	if a.Get(RegQueueReady) != 0 {
		a.t.Error("QueueReady stays")
	}
	a.kickAll()
	a.pause()
}

// twoCPUs has two threads write and read registers at random, while a third pauses the device.
func (a *abuser) twoCPUs() {
	var cpus sync.WaitGroup
	for seed := range uint64(2) {
		random := rand.New(rand.NewPCG(seed, 3))
		cpus.Go(func() {
			for range 20_000 {
				a.poke(random)
			}
		})
	}
	for range 50 {
		a.Transport.Pause()
		runtime.Gosched()
		a.Transport.Resume()
	}
	cpus.Wait()
}

// poke accesses one register as a driver might that lost its way: mostly plausible values, so that it gets somewhere.
func (a *abuser) poke(random *rand.Rand) {
	r := a.Rings[random.IntN(len(a.Rings))]
	switch random.IntN(16) {
	case 0:
		a.Set(RegStatus, 0)
	case 1, 2:
		a.Set(RegStatus, []uint32{1, 3, 11, 15, 15, 128, random.Uint32()}[random.IntN(7)])
	case 3:
		sel := uint32(random.IntN(2))
		a.Set(RegDriverFeaturesSel, sel)
		a.Set(RegDriverFeatures, sel)
	case 4, 5:
		a.SetQueue(random.IntN(len(a.Rings)), r.Size, r.Desc, r.Avail, r.Used)
	case 6:
		a.Set(RegQueueReady, 0)
	case 7, 8, 9:
		a.Set(RegQueueNotify, uint32(random.IntN(len(a.Rings)+1)))
	case 10:
		a.interrupt()
	case 11:
		var b [8]byte
		a.Transport.Read(RegConfig+uint64(random.IntN(64)), b[:1<<random.IntN(4)])
	case 12:
		b := []byte{1, 2, 3, 4, 5, 6, 7, 8}
		a.Transport.Write(RegConfig+uint64(random.IntN(64)), b[:1<<random.IntN(4)])
	case 13:
		a.Set(uint64(random.IntN(0x400)), random.Uint32())
	default:
		a.Get(uint64(random.IntN(0x100)) &^ 3)
	}
}
