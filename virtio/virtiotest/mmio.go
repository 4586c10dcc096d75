//go:build linux

package virtiotest

import (
	"encoding/binary"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/mmio"
)

// Registers of virtio-mmio (section 4.2.2).
const (
	RegMagic             = 0x000
	RegVersion           = 0x004
	RegDeviceID          = 0x008
	RegDeviceFeatures    = 0x010
	RegDeviceFeaturesSel = 0x014
	RegDriverFeatures    = 0x020
	RegDriverFeaturesSel = 0x024
	RegQueueSel          = 0x030
	RegQueueNumMax       = 0x034
	RegQueueNum          = 0x038
	RegQueueReady        = 0x044
	RegQueueNotify       = 0x050
	RegInterruptStatus   = 0x060
	RegInterruptACK      = 0x064
	RegStatus            = 0x070
	RegQueueDesc         = 0x080
	RegQueueDriver       = 0x090
	RegQueueDevice       = 0x0a0
	RegConfigGeneration  = 0x0fc
	RegConfig            = 0x100
)

// Status bits (section 2.1).
const (
	StatusAcknowledge = 1
	StatusDriver      = 2
	StatusDriverOK    = 4
	StatusFeaturesOK  = 8
	StatusNeedsReset  = 64
	StatusFailed      = 128
)

// AllFeatures asks Negotiate for everything that is offered.
const AllFeatures = 1<<64 - 1

// MMIODriver drives a device through the registers of a mmio.Transport, as a guest's kernel does: its methods are what runs on a
// vCPU. Interrupts are handled in the background, as Linux does it: status read, acknowledged, every ring called.
type MMIODriver struct {
	Transport *mmio.Transport
	Mem       *Memory
	Interrupt *virtio.EventFD // the line
	Features  uint64          // as negotiated
	Rings     []*Ring         // as started, one a queue
	// Config receives a value after configuration changes, or DEVICE_NEEDS_RESET.
	Config chan struct{}

	t      testing.TB
	device virtio.Device
	mu     sync.Mutex // guards calls
	calls  []*virtio.EventFD
}

// NewMMIODriver puts a transport before dev, until the test ends. The driver has done nothing yet.
func NewMMIODriver(t testing.TB, dev virtio.Device, mem *Memory) *MMIODriver {
	t.Helper()
	line, err := virtio.NewEventFD()
	if err != nil {
		t.Fatal(err)
	}
	transport, err := mmio.New(mmio.Config{
		Device: dev, Memory: mem.Memory, Interrupt: line, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &MMIODriver{Transport: transport, Mem: mem, Interrupt: line, Config: make(chan struct{}, 1), t: t, device: dev}
	var handler sync.WaitGroup
	handler.Go(func() {
		for line.Wait() == nil {
			d.interrupt()
		}
	})
	t.Cleanup(func() {
		if err := transport.Close(); err != nil {
			t.Errorf("close the transport: %v", err)
		}
		_ = line.Close()
		handler.Wait()
	})
	return d
}

func (d *MMIODriver) interrupt() {
	status := d.Get(RegInterruptStatus)
	d.Set(RegInterruptACK, status)
	if status&2 != 0 {
		select {
		case d.Config <- struct{}{}:
		default:
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.calls {
		_ = c.Signal()
	}
}

// Get reads a register.
func (d *MMIODriver) Get(offset uint64) uint32 {
	var b [4]byte
	d.Transport.Read(offset, b[:])
	return binary.LittleEndian.Uint32(b[:])
}

// Set writes a register.
func (d *MMIODriver) Set(offset uint64, v uint32) {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], v)
	d.Transport.Write(offset, b[:])
}

// Set64 writes a pair of registers.
func (d *MMIODriver) Set64(offset, v uint64) {
	d.Set(offset, uint32(v))
	d.Set(offset+4, uint32(v>>32))
}

// Offered returns the device's features.
func (d *MMIODriver) Offered() uint64 {
	d.Set(RegDeviceFeaturesSel, 0)
	low := d.Get(RegDeviceFeatures)
	d.Set(RegDeviceFeaturesSel, 1)
	return uint64(low) | uint64(d.Get(RegDeviceFeatures))<<32
}

// Reset resets the device. It has happened when Reset returns.
func (d *MMIODriver) Reset() {
	d.t.Helper()
	d.Set(RegStatus, 0)
	if s := d.Get(RegStatus); s != 0 {
		d.t.Fatalf("virtiotest: status %#x after a reset", s)
	}
}

// Negotiate resets the device and goes as far as FEATURES_OK, with those of the features that are offered.
func (d *MMIODriver) Negotiate(features uint64) {
	d.t.Helper()
	d.Reset()
	select {
	case <-d.Config: // the driver before's
	default:
	}
	d.mu.Lock()
	d.calls = nil
	d.mu.Unlock()
	d.Set(RegStatus, StatusAcknowledge)
	d.Set(RegStatus, StatusAcknowledge|StatusDriver)
	d.Features = features & d.Offered()
	for sel := range uint32(2) {
		d.Set(RegDriverFeaturesSel, sel)
		d.Set(RegDriverFeatures, uint32(d.Features>>(32*sel)))
	}
	d.Set(RegStatus, StatusAcknowledge|StatusDriver|StatusFeaturesOK)
	if s := d.Get(RegStatus); s&StatusFeaturesOK == 0 {
		d.t.Fatalf("virtiotest: the device refuses features %#x (status %#x)", d.Features, s)
	}
}

// SetQueue writes a queue's layout, whatever it is, and QueueReady; it reports whether the device took it.
func (d *MMIODriver) SetQueue(i, size int, desc, avail, used uint64) bool {
	d.Set(RegQueueSel, uint32(i))
	d.Set(RegQueueNum, uint32(size))
	d.Set64(RegQueueDesc, desc)
	d.Set64(RegQueueDriver, avail)
	d.Set64(RegQueueDevice, used)
	d.Set(RegQueueReady, 1)
	return d.Get(RegQueueReady) == 1
}

// AddRing sets the ring up as queue i.
func (d *MMIODriver) AddRing(i int, r *Ring) {
	d.t.Helper()
	r.Features = d.Features
	r.Kick = d.Transport.QueueEvents()[i]
	if !d.SetQueue(i, r.Size, r.Desc, r.Avail, r.Used) {
		d.t.Fatalf("virtiotest: the device refuses queue %d", i)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, r.Call)
}

// DriverOK starts the device.
func (d *MMIODriver) DriverOK() {
	d.Set(RegStatus, StatusAcknowledge|StatusDriver|StatusFeaturesOK|StatusDriverOK)
}

// QueueMax returns the greatest size of queue i, 0 where there is none.
func (d *MMIODriver) QueueMax(i int) int {
	d.Set(RegQueueSel, uint32(i))
	return int(d.Get(RegQueueNumMax))
}

// Start initializes the device from the beginning (section 3.1), with rings of at most size on all of its queues. Rings of
// an earlier Start are used again, emptied.
func (d *MMIODriver) Start(features uint64, size int) []*Ring {
	d.t.Helper()
	d.Negotiate(features)
	for i := 0; ; i++ {
		limit := d.QueueMax(i)
		if limit == 0 {
			break
		}
		if i == len(d.Rings) {
			d.Rings = append(d.Rings, NewRing(d.t, d.Mem, min(size, limit), d.Features))
		}
		d.Rings[i].Clear()
		d.AddRing(i, d.Rings[i])
	}
	d.DriverOK()
	return d.Rings
}

// WaitConfig waits for a configuration change.
func (d *MMIODriver) WaitConfig() {
	d.t.Helper()
	select {
	case <-d.Config:
	case <-time.After(Patience):
		d.t.Fatalf("virtiotest: no configuration change within %v", Patience)
	}
}

// Move saves the device and returns the driver of another device that goes on from there, with the same memory. The old device
// stays paused.
func (d *MMIODriver) Move(to virtio.Device) *MMIODriver {
	d.t.Helper()
	d.Transport.Pause()
	state, err := d.Transport.Save()
	if err != nil {
		d.t.Fatal(err)
	}
	moved := NewMMIODriver(d.t, to, d.Mem)
	moved.Features, moved.Rings = d.Features, d.Rings
	for i, r := range moved.Rings {
		r.Kick = moved.Transport.QueueEvents()[i]
		moved.calls = append(moved.calls, r.Call)
	}
	if err := moved.Transport.Load(state); err != nil {
		d.t.Fatal(err)
	}
	moved.Transport.Resume()
	return moved
}
