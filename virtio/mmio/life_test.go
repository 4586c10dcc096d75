//go:build linux

package mmio_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

func TestInterrupts(t *testing.T) {
	tr, p, l := newProbe(t)
	start(tr)
	p.activation.ConfigChanged()
	if got := l.take(); !slices.Equal(got, []uint32{2}) {
		t.Errorf("InterruptStatus %x when the line is signalled", got)
	}
	if get(tr, virtiotest.RegConfigGeneration) != 1 {
		t.Error("the generation has not changed")
	}
	offerOne(t, p)
	if got := l.take(); !slices.Equal(got, []uint32{3}) {
		t.Errorf("InterruptStatus %x when the line is signalled", got)
	}
	set(tr, virtiotest.RegInterruptACK, 1)
	if s := get(tr, virtiotest.RegInterruptStatus); s != 2 {
		t.Errorf("InterruptStatus %#x after 1 is acknowledged", s)
	}
	set(tr, virtiotest.RegInterruptACK, ^uint32(0))
	if s := get(tr, virtiotest.RegInterruptStatus); s != 0 {
		t.Errorf("InterruptStatus %#x after all is acknowledged", s)
	}
	p.activation.ConfigChanged()
	set(tr, virtiotest.RegStatus, 0)
	if s := get(tr, virtiotest.RegInterruptStatus); s != 0 {
		t.Errorf("InterruptStatus %#x after a reset", s)
	}
}

// offerOne puts a chain into queue 0 and has the device use it.
func offerOne(t *testing.T, p *probe) {
	t.Helper()
	q, mem := p.activation.Queues[0], p.activation.Memory
	for addr, v := range map[uint64]uint64{
		virtiotest.Base: virtiotest.Base + 8192, virtiotest.Base + 8: 16, // a descriptor
		virtiotest.Base + 1024: 1 << 16, // the index of the avail ring
	} {
		if err := mem.WriteAt(virtiotest.U64(v), addr); err != nil {
			t.Fatal(err)
		}
	}
	var c virtio.Chain
	if ok, err := q.Pop(&c); !ok || err != nil {
		t.Fatalf("Pop = %v, %v", ok, err)
	}
	q.Push(&c, 0)
	if err := q.Publish(); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenQueueNeedsReset(t *testing.T) {
	tr, p, l := newProbe(t)
	start(tr)
	for range 2 {
		p.activation.Broken(0, virtio.ErrRing)
	}
	if s := get(tr, virtiotest.RegStatus); s != 15|virtiotest.StatusNeedsReset {
		t.Errorf("status %#x", s)
	}
	if got := l.take(); !slices.Equal(got, []uint32{2}) {
		t.Errorf("the driver was told %d times, with %x", len(got), got)
	}
	tr.Pause()
	tr.Resume()
	if q := p.activation.Queues; q[0] != nil || q[1] == nil {
		t.Errorf("after a pause the device is lent %v", q)
	}
	l.take()
	// Linux adds bits to what it has read.
	set(tr, virtiotest.RegStatus, get(tr, virtiotest.RegStatus)|virtiotest.StatusFailed)
	if s := get(tr, virtiotest.RegStatus); s != 15|virtiotest.StatusNeedsReset|virtiotest.StatusFailed {
		t.Errorf("status %#x", s)
	}
	start(tr)
	if s := get(tr, virtiotest.RegStatus); s != 15 || !p.running {
		t.Errorf("status %#x after a reset, running %v", s, p.running)
	}
}

func TestDeviceThatDoesNotStart(t *testing.T) {
	tr, p, l := newProbe(t)
	p.fail = errors.New("no")
	start(tr)
	if s := get(tr, virtiotest.RegStatus); s != 15|virtiotest.StatusNeedsReset {
		t.Errorf("status %#x", s)
	}
	if got := l.take(); !slices.Equal(got, []uint32{2}) {
		t.Errorf("the driver is told with %x", got)
	}
	p.take()
	tr.Pause()
	tr.Resume()
	if slices.Contains(p.take(), "activate") {
		t.Error("it is started again without a driver's wish")
	}
	p.fail = nil
	start(tr)
	if s := get(tr, virtiotest.RegStatus); s != 15 {
		t.Errorf("status %#x when started anew", s)
	}
}

// A driver that reads the status back sees 0 only when the device has let go of memory, and one that does not is not let go on
// before either. Meanwhile other vCPUs are not held up.
func TestResetWaitsForTheDevice(t *testing.T) {
	tr, p, _ := newProbe(t)
	start(tr)
	p.hold, p.held = make(chan struct{}), make(chan struct{})
	done := make(chan struct{})
	go func() {
		set(tr, virtiotest.RegStatus, 0)
		close(done)
	}()
	<-p.hold
	for range 100 {
		if s := get(tr, virtiotest.RegStatus); s != 15 {
			t.Fatalf("status %#x while the device runs", s)
		}
		set(tr, virtiotest.RegQueueNotify, 0)
		set(tr, virtiotest.RegInterruptACK, 1)
		select {
		case <-done:
			t.Fatal("the write of 0 has returned while the device runs")
		default:
		}
	}
	p.hold = nil
	close(p.held)
	<-done
	if s := get(tr, virtiotest.RegStatus); s != 0 || p.running {
		t.Errorf("status %#x, running %v", s, p.running)
	}
}

func TestPause(t *testing.T) {
	tr, p, l := newProbe(t)
	tr.Pause()
	tr.Resume()
	if p.running {
		t.Error("a device that nobody started runs after a pause")
	}
	tr.Pause()
	start(tr) // nobody stops vCPUs from it
	if p.running {
		t.Error("the device was started in a pause")
	}
	tr.Resume()
	if !p.running {
		t.Fatal("the device does not run after the pause")
	}
	queues := p.activation.Queues
	p.activation.ConfigChanged()
	l.take()
	tr.Pause()
	tr.Pause()
	if p.running {
		t.Error("the device runs in a pause")
	}
	tr.Resume()
	tr.Resume()
	if !p.running || p.activation.Queues[0] != queues[0] {
		t.Error("the device does not go on with its queues")
	}
	if got := l.take(); !slices.Equal(got, []uint32{2}) {
		t.Errorf("interrupts after the pause: %x", got)
	}
	tr.Pause()
	set(tr, virtiotest.RegStatus, 0)
	tr.Resume()
	if p.running {
		t.Error("a device that was reset in a pause runs after it")
	}
}

func TestClose(t *testing.T) {
	tr, p, _ := newProbe(t)
	start(tr)
	for range 2 {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}
	if p.running {
		t.Error("the device runs after Close")
	}
	start(tr)
	set(tr, virtiotest.RegQueueNotify, 0)
	tr.Pause()
	tr.Resume()
	if p.running {
		t.Error("a closed transport starts its device")
	}
}

// Kicks that come before DRIVER_OK count, whichever way they come.
func TestEarlyKicks(t *testing.T) {
	for name, kick := range map[string]func(*virtiotest.MMIODriver){
		"eventfd": func(d *virtiotest.MMIODriver) { d.Rings[0].Notify() },
		"trap":    func(d *virtiotest.MMIODriver) { d.Set(virtiotest.RegQueueNotify, 0) },
		"none":    func(*virtiotest.MMIODriver) {}, // section 3.1.1: buffers may be there before
	} {
		t.Run(name, func(t *testing.T) {
			d := virtiotest.NewMMIODriver(t, &echo{}, virtiotest.NewMemory(t, 1<<20))
			d.Negotiate(virtiotest.AllFeatures)
			r := virtiotest.NewRing(t, d.Mem, 8, d.Features)
			d.Rings = []*virtiotest.Ring{r}
			d.AddRing(0, r)
			r.Add(virtiotest.Buffer{Addr: d.Mem.Alloc(16), Len: 16, Write: true})
			r.Publish()
			kick(d)
			d.DriverOK()
			r.Wait()
		})
	}
}

// Both ways of kicking wake a device that sleeps.
func TestKicks(t *testing.T) {
	d := virtiotest.NewMMIODriver(t, &echo{}, virtiotest.NewMemory(t, 1<<20))
	rings := d.Start(virtiotest.AllFeatures, 8)
	data := d.Mem.Alloc(64)
	for i, r := range rings {
		r.Kick = virtiotest.NewEvent(t) // nobody listens there
		for n := range 20 {
			d.Mem.At(data, 1)[0] = byte(n)
			r.Add(virtiotest.Buffer{Addr: data, Len: 1}, virtiotest.Buffer{Addr: data + 32, Len: 1, Write: true})
			r.Publish()
			if n%2 == 0 {
				d.Set(virtiotest.RegQueueNotify, uint32(i))
			} else if err := d.Transport.QueueEvents()[i].Signal(); err != nil {
				t.Fatal(err)
			}
			if _, used := r.Wait(); used != 1 || d.Mem.At(data+32, 1)[0] != byte(n) {
				t.Fatalf("%d bytes come back, %d", used, d.Mem.At(data+32, 1)[0])
			}
		}
	}
}

// A driver that polls without interrupts sees what the device uses, and time does not matter.
func TestDriverWithoutInterrupts(t *testing.T) {
	d := virtiotest.NewMMIODriver(t, &echo{}, virtiotest.NewMemory(t, 1<<20))
	r := d.Start(virtio.FeatureVersion1, 8)[0]
	d.Mem.At(r.Avail, 2)[0] = 1 // VIRTQ_AVAIL_F_NO_INTERRUPT
	r.Add(virtiotest.Buffer{Addr: d.Mem.Alloc(16), Len: 16, Write: true})
	r.SetAvailIndex(1)
	d.Mem.At(r.Avail, 2)[0] = 1
	r.Notify()
	deadline := time.Now().Add(virtiotest.Patience)
	for r.UsedIndex() == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the chain is not used")
		}
	}
}
