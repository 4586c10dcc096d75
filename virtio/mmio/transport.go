//go:build linux

package mmio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/voidbox-run/voidbox/virtio"
)

// Config says what a transport connects.
type Config struct {
	Device virtio.Device
	Memory *virtio.Memory
	// Interrupt is the device's interrupt line, such as an EventFD that is an irqfd. It is edge-triggered and not shared. The
	// transport does not close it.
	Interrupt virtio.Call
	// Logger receives what drivers do wrong; nil means slog.Default.
	Logger *slog.Logger
}

// Transport is one device's page of registers. Read and Write may be called by any number of threads at once, and so may
// the other methods.
type Transport struct {
	dev       virtio.Device
	mem       *virtio.Memory
	log       *slog.Logger
	features  uint64 // on offer
	maxSizes  []uint16
	events    []*virtio.EventFD
	kicks     []*virtio.EventKick
	interrupt interrupt

	life    sync.Mutex // guards what follows, and is held where the device is started or stopped; taken before mu
	started bool       // the driver has started the device, and it did not fail
	paused  bool
	closed  bool

	mu      sync.Mutex
	reg     registers
	saidBad bool // a driver's fault has been logged aloud
}

// New makes a transport for a device that is stopped. Close it before the device.
func New(cfg Config) (*Transport, error) {
	if cfg.Device == nil || cfg.Memory == nil || cfg.Interrupt == nil {
		return nil, errors.New("virtio-mmio: a device, memory and an interrupt are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	t := &Transport{
		dev: cfg.Device, mem: cfg.Memory,
		log:       cfg.Logger.With("virtio_device", cfg.Device.DeviceID()),
		features:  cfg.Device.Features() | virtio.FeatureVersion1 | virtio.FeatureIndirect | virtio.FeatureEventIdx,
		maxSizes:  cfg.Device.QueueSizes(),
		interrupt: interrupt{line: cfg.Interrupt},
	}
	t.reg.queues = make([]queueRegisters, len(t.maxSizes))
	for range t.maxSizes {
		e, err := virtio.NewEventFD()
		if err != nil {
			_ = t.Close()
			return nil, fmt.Errorf("virtio-mmio: %w", err)
		}
		t.events = append(t.events, e)
		t.kicks = append(t.kicks, virtio.NewEventKick(e))
	}
	return t, nil
}

// QueueEvents returns the eventfd that stands for kicks of each queue, to be made ioeventfds at QueueNotify. The transport owns
// them.
func (t *Transport) QueueEvents() []*virtio.EventFD { return t.events }

// Close stops the device and ends the transport, which then reads as nothing. Remove the ioeventfds before.
func (t *Transport) Close() error {
	t.life.Lock()
	defer t.life.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	t.dev.Stop()
	var errs []error
	for _, k := range t.kicks {
		errs = append(errs, k.Close())
	}
	return errors.Join(errs...)
}

// refused logs what a driver did wrong, aloud only once: a guest can do it as often as it likes. mu is held.
func (t *Transport) refused(what string, args ...any) {
	level := slog.LevelDebug
	if !t.saidBad {
		t.saidBad, level = true, slog.LevelWarn
	}
	t.log.Log(context.Background(), level, "virtio driver: "+what, args...)
}
