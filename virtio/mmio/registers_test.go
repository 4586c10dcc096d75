//go:build linux

package mmio_test

import (
	"bytes"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/mmio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

func TestIdentity(t *testing.T) {
	tr, _, _ := newProbe(t)
	for offset, want := range map[uint64]uint32{
		virtiotest.RegMagic: 0x74726976, virtiotest.RegVersion: 2, virtiotest.RegDeviceID: virtio.IDConsole,
		virtiotest.RegStatus: 0, virtiotest.RegInterruptStatus: 0, virtiotest.RegConfigGeneration: 0,
		virtiotest.RegQueueNumMax: 8, virtiotest.RegQueueReady: 0,
		0x0b0: 1<<32 - 1, 0x0b4: 1<<32 - 1, // SHMLen: no shared memory
		virtiotest.RegQueueNotify: 0, virtiotest.RegQueueNum: 0, virtiotest.RegDriverFeatures: 0, // write-only
		0x054: 0, 0xffc: 0, // nothing
	} {
		if got := get(tr, offset); got != want {
			t.Errorf("%#x reads %#x, want %#x", offset, got, want)
		}
	}
	set(tr, virtiotest.RegQueueSel, 1)
	if n := get(tr, virtiotest.RegQueueNumMax); n != 16 {
		t.Errorf("QueueNumMax %d", n)
	}
	for _, sel := range []uint32{2, 1 << 16, 1<<32 - 1} {
		set(tr, virtiotest.RegQueueSel, sel)
		if n := get(tr, virtiotest.RegQueueNumMax); n != 0 {
			t.Errorf("QueueNumMax of queue %d is %d", sel, n)
		}
	}
}

func TestAccessWidths(t *testing.T) {
	tr, p, _ := newProbe(t)
	for _, c := range []struct {
		offset uint64
		n      int
	}{{virtiotest.RegMagic, 1}, {virtiotest.RegMagic, 2}, {virtiotest.RegMagic, 8}, {virtiotest.RegMagic + 2, 4}, {virtiotest.RegMagic + 1, 1}, {virtiotest.RegMagic, 0}, {1 << 40, 4}, {0xfe, 4}} {
		b := bytes.Repeat([]byte{0xff}, c.n)
		tr.Read(c.offset, b)
		if !bytes.Equal(b, make([]byte, c.n)) {
			t.Errorf("%d bytes at %#x read %x", c.n, c.offset, b)
		}
	}
	tr.Write(virtiotest.RegStatus, []byte{1})
	tr.Write(virtiotest.RegStatus, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	tr.Write(virtiotest.RegStatus+1, []byte{1, 0, 0, 0})
	if s := get(tr, virtiotest.RegStatus); s != 0 {
		t.Errorf("status %#x", s)
	}
	// The configuration space takes any width, at any offset.
	for i, n := range []int{1, 2, 4, 8} {
		tr.Write(virtiotest.RegConfig+uint64(i), bytes.Repeat([]byte{byte(n)}, n))
	}
	if want := []byte{1, 2, 4, 8, 8, 8, 8, 8, 8, 8, 8}; !bytes.HasPrefix(p.config[:], want) {
		t.Errorf("configuration space %x", p.config)
	}
	for _, n := range []int{1, 2, 4, 8} {
		b := make([]byte, n)
		tr.Read(virtiotest.RegConfig+3, b)
		if !bytes.Equal(b, bytes.Repeat([]byte{8}, n)) {
			t.Errorf("%d bytes of the configuration space read %x", n, b)
		}
	}
}

func TestFeatures(t *testing.T) {
	tr, p, _ := newProbe(t)
	set(tr, virtiotest.RegDeviceFeaturesSel, 0)
	low := get(tr, virtiotest.RegDeviceFeatures)
	set(tr, virtiotest.RegDeviceFeaturesSel, 1)
	high := get(tr, virtiotest.RegDeviceFeatures)
	if low != 1<<3|virtio.FeatureIndirect|virtio.FeatureEventIdx || high != 1|1<<8 {
		t.Errorf("features %#x %#x", high, low)
	}
	set(tr, virtiotest.RegDeviceFeaturesSel, 2)
	if f := get(tr, virtiotest.RegDeviceFeatures); f != 0 {
		t.Errorf("features above 64: %#x", f)
	}

	const v1 = 1
	for name, c := range map[string]struct {
		low, high, beyond uint32
		ok                bool
	}{
		"version 1 alone":         {0, v1, 0, true},
		"all":                     {low, high, 0, true},
		"none":                    {0, 0, 0, false},
		"without version 1":       {low, 0, 0, false},
		"one that is not offered": {1, v1, 0, false},
		"one above":               {0, v1 | 1<<31, 0, false},
		"one beyond 64":           {0, v1, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			set(tr, virtiotest.RegStatus, 0)
			set(tr, virtiotest.RegStatus, 1)
			set(tr, virtiotest.RegStatus, 3)
			for sel, v := range []uint32{c.low, c.high, c.beyond} {
				set(tr, virtiotest.RegDriverFeaturesSel, uint32(sel))
				set(tr, virtiotest.RegDriverFeatures, v)
			}
			set(tr, virtiotest.RegStatus, 11)
			if ok := get(tr, virtiotest.RegStatus)&virtiotest.StatusFeaturesOK != 0; ok != c.ok {
				t.Fatalf("FEATURES_OK is %v", ok)
			}
			set(tr, virtiotest.RegStatus, 15)
			if want := c.ok; get(tr, virtiotest.RegStatus)&virtiotest.StatusDriverOK != 0 != want {
				t.Errorf("status %#x", get(tr, virtiotest.RegStatus))
			}
			if c.ok && p.activation.Features != uint64(c.high)<<32|uint64(c.low) {
				t.Errorf("the device is told of features %#x", p.activation.Features)
			}
		})
	}
}

func TestStatusOrder(t *testing.T) {
	for name, c := range map[string]struct {
		writes []uint32
		want   uint32
	}{
		"in order":               {[]uint32{1, 3, 11, 15}, 15},
		"at once":                {[]uint32{3}, 3},
		"driver first":           {[]uint32{2}, 0},
		"no DRIVER":              {[]uint32{1, 9}, 1},
		"no FEATURES_OK":         {[]uint32{1, 3, 7}, 3},
		"a bit is taken back":    {[]uint32{1, 3, 11, 15, 3}, 15},
		"DRIVER_OK without rest": {[]uint32{4}, 0},
		"FAILED":                 {[]uint32{1, 3, 0x83}, 0x83},
		"after FAILED":           {[]uint32{1, 3, 0x83, 0x8b, 0x8f}, 0x83},
		"unknown bits":           {[]uint32{1 | 1<<20, 3 | 16}, 3},
		"NEEDS_RESET":            {[]uint32{1 | 64}, 1},
		"reset":                  {[]uint32{1, 3, 11, 15, 0}, 0},
		"reset after FAILED":     {[]uint32{1, 0x81, 0, 1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			tr, p, _ := newProbe(t)
			for _, w := range c.writes {
				set(tr, virtiotest.RegDriverFeaturesSel, 1)
				set(tr, virtiotest.RegDriverFeatures, 1)
				set(tr, virtiotest.RegStatus, w)
			}
			if got := get(tr, virtiotest.RegStatus); got != c.want {
				t.Errorf("status %#x, want %#x", got, c.want)
			}
			if p.running != (c.want&virtiotest.StatusDriverOK != 0) {
				t.Errorf("the device runs: %v", p.running)
			}
		})
	}
}

func TestFeaturesAreFixedOnceAccepted(t *testing.T) {
	tr, p, _ := newProbe(t)
	set(tr, virtiotest.RegDriverFeaturesSel, 0)
	set(tr, virtiotest.RegDriverFeatures, 8) // before DRIVER
	negotiate(tr)
	set(tr, virtiotest.RegDriverFeaturesSel, 0)
	set(tr, virtiotest.RegDriverFeatures, 8) // after FEATURES_OK
	set(tr, virtiotest.RegStatus, 15)
	if p.activation.Features != virtio.FeatureVersion1 {
		t.Errorf("features %#x", p.activation.Features)
	}
}

func TestQueueRegisters(t *testing.T) {
	tr, p, _ := newProbe(t)
	layout(tr, 0)
	if get(tr, virtiotest.RegQueueReady) != 0 {
		t.Error("a queue is ready before there are features")
	}
	negotiate(tr)
	layout(tr, 0)
	if get(tr, virtiotest.RegQueueReady) != 1 {
		t.Fatal("the queue is not ready")
	}
	// A queue that is ready cannot be moved; Queue.Size tells.
	set(tr, virtiotest.RegQueueNum, 4)
	set(tr, virtiotest.RegQueueReady, 1)
	layout(tr, 2) // there is none
	set(tr, virtiotest.RegStatus, 15)
	if q := p.activation.Queues; len(q) != 2 || q[0] == nil || q[0].Size() != 8 || q[1] != nil {
		t.Errorf("the device is lent %v", q)
	}
	layout(tr, 1) // too late
	if get(tr, virtiotest.RegQueueReady) != 0 {
		t.Error("a queue becomes ready after DRIVER_OK")
	}
	// The device is told that a queue is taken away.
	p.take()
	set(tr, virtiotest.RegQueueSel, 0)
	set(tr, virtiotest.RegQueueReady, 0)
	if got := p.take(); len(got) != 2 || got[0] != "stop" || got[1] != "activate" || p.activation.Queues[0] != nil {
		t.Errorf("calls %v, queues %v", got, p.activation.Queues)
	}
	set(tr, virtiotest.RegStatus, 0)
	if get(tr, virtiotest.RegQueueReady) != 0 {
		t.Error("a queue is ready after a reset")
	}
}

// Exit paths allocate nothing.
func TestAccessesDoNotAllocate(t *testing.T) {
	tr, _, _ := probeOnEventFD(t)
	start(tr)
	b, zero := make([]byte, 4), make([]byte, 4)
	if n := testing.AllocsPerRun(1000, func() {
		tr.Write(virtiotest.RegQueueNotify, zero)
		tr.Read(virtiotest.RegInterruptStatus, b)
		tr.Write(virtiotest.RegInterruptACK, b)
		tr.Read(virtiotest.RegStatus, b)
		tr.Read(virtiotest.RegConfigGeneration, b)
		tr.Read(virtiotest.RegConfig, b)
		tr.Write(virtiotest.RegConfig, b)
		tr.Write(virtiotest.RegQueueSel, zero)
		tr.Read(virtiotest.RegQueueReady, b)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func probeOnEventFD(t *testing.T) (*mmio.Transport, *probe, *virtio.EventFD) {
	t.Helper()
	e := virtiotest.NewEvent(t)
	p := &probe{}
	tr, err := mmio.New(mmio.Config{Device: p, Memory: virtiotest.NewMemory(t, 1<<20).Memory, Interrupt: e})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr, p, e
}
