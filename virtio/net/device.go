//go:build linux

package net

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
)

// Device is the device model; it implements virtio.Device.
type Device struct {
	cfg      Config
	log      *slog.Logger
	offloads link.Features // offered to the driver

	carrier atomic.Bool
	changed chan struct{} // the carrier has changed
	pairs   atomic.Int32  // that the driver uses, if there is a control queue
	count   counters

	patience time.Duration

	// life guards what follows, since Relink and Close come while a transport drives the device.
	life   sync.Mutex
	closed atomic.Bool
	link   *link.Link     // nil before the first one; else up or down
	watch  sync.WaitGroup // waits for the end of link
	held   []held         // by lane
	fresh  bool           // the next run begins a new epoch: the driver or the link is a new one
	run    *run           // nil while the device is stopped
}

// held is a record that was read from a lane and not delivered yet. It stays in its ring, across Stop too, until it was.
type held struct {
	rec link.Record
	ok  bool
}

var _ virtio.Device = (*Device)(nil)

// stallTime is how long a goroutine may take to end. They do at once, unless the plugin holds up a write to an eventfd of the
// link's, which only the link's end undoes.
const stallTime = 5 * time.Second

var errStalled = fmt.Errorf("%w: it holds up an event", link.ErrViolation)

// New creates the device and takes over the link, also when it fails. Close the device when it is no longer used.
func New(cfg Config) (*Device, error) {
	err := cfg.setDefaults()
	if err == nil && cfg.Link != nil {
		err = cfg.admit(cfg.Link)
	}
	if err != nil {
		if cfg.Link != nil {
			cfg.Link.Close()
		}
		return nil, fmt.Errorf("virtio-net: %w", err)
	}
	d := &Device{cfg: cfg, log: cfg.Logger, changed: make(chan struct{}, 1), patience: stallTime, fresh: true}
	d.pairs.Store(1)
	if cfg.Link != nil {
		d.offloads = offered(cfg.Link.Features(), cfg.Link.MaxPayload())
		d.plug(cfg.Link)
		<-d.changed // no driver has seen the carrier down
	}
	return d, nil
}

// plug makes l the device's link, in the place of one that was unplugged.
func (d *Device) plug(l *link.Link) {
	d.link, d.fresh = l, true
	d.held = make([]held, l.Lanes())
	d.setCarrier(true)
	d.watch.Go(func() {
		<-l.Done()
		d.setCarrier(false)
		if d.closed.Load() {
			return
		}
		d.count.downs.Add(1)
		d.log.Warn("the network's link is down", "error", l.Err())
		d.cfg.OnLink(false, l.Err())
	})
}

// unplug takes the link down and away. Nobody uses its lanes.
func (d *Device) unplug() {
	if d.link == nil {
		return
	}
	_ = d.link.Break(link.ErrClosed)
	d.watch.Wait()
	d.link.Close()
	d.link = nil
}

func (d *Device) setCarrier(up bool) {
	d.carrier.Store(up)
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// Ask returns what to dial the network with for Relink.
func (d *Device) Ask() link.Ask {
	d.life.Lock()
	defer d.life.Unlock()
	ask := Ask(d.cfg.Pairs)
	if d.link != nil {
		ask.Epoch = d.link.Epoch() + 1
	}
	return ask
}

// Relink replaces the link, which may be down or still up, and takes l over, also when it fails. The guest's carrier comes up.
// The plugin behind l must know all offloads of the first link that the guest uses when it sends, since a driver negotiates
// only once; those towards the guest it need not.
func (d *Device) Relink(l *link.Link) error {
	d.life.Lock()
	defer d.life.Unlock()
	err := d.cfg.admit(l)
	if missing := d.offloads & transmitOffloads &^ offered(l.Features(), l.MaxPayload()); err == nil && missing != 0 {
		err = fmt.Errorf("the plugin lacks the offloads %#x, which the guest was offered", uint64(missing))
	}
	if d.closed.Load() {
		err = errors.New("the device is closed")
	}
	if err != nil {
		l.Close()
		return fmt.Errorf("virtio-net: %w", err)
	}
	r := d.run
	d.halt()
	d.unplug()
	d.plug(l)
	d.cfg.OnLink(true, nil)
	if r != nil {
		d.start(r.a)
	}
	return nil
}

// DeviceID implements virtio.Device.
func (d *Device) DeviceID() uint32 { return virtio.IDNet }

// Features implements virtio.Device.
func (d *Device) Features() uint64 {
	f := uint64(d.offloads) | featureMAC | featureMTU | featureStatus | featureMergeRX
	if d.cfg.Pairs > 1 {
		f |= featureControl | featureMultiple
	}
	return f
}

const (
	queueSize        = 1024 // less would be refused by QEMU's virtio-mmio, which knows no other size
	controlQueueSize = 64
)

// QueueSizes implements virtio.Device: receiveq and transmitq of each pair, and the control queue if there are several.
func (d *Device) QueueSizes() []uint16 {
	var sizes []uint16
	for range d.cfg.Pairs {
		sizes = append(sizes, queueSize, queueSize)
	}
	if d.cfg.Pairs > 1 {
		sizes = append(sizes, controlQueueSize)
	}
	return sizes
}

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint32, p []byte) {
	space := d.cfg.space(d.carrier.Load())
	clear(p)
	if int64(offset) < int64(len(space)) {
		copy(p, space[offset:])
	}
}

// WriteConfig implements virtio.Device; a driver of version 1 writes nothing.
func (d *Device) WriteConfig(uint32, []byte) {}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	d.life.Lock()
	defer d.life.Unlock()
	if d.run != nil {
		return errors.New("virtio-net: activated while it runs")
	}
	if d.closed.Load() {
		return errors.New("virtio-net: activated after Close")
	}
	d.start(a)
	return nil
}

// Stop implements virtio.Device.
func (d *Device) Stop() {
	d.life.Lock()
	defer d.life.Unlock()
	d.halt()
}

// Reset implements virtio.Device.
func (d *Device) Reset() {
	d.life.Lock()
	defer d.life.Unlock()
	d.halt()
	d.fresh = true
	d.pairs.Store(1)
}

// Close stops the device and takes its link down.
func (d *Device) Close() error {
	d.life.Lock()
	defer d.life.Unlock()
	d.closed.Store(true)
	d.halt()
	d.unplug()
	return nil
}

// start lends the queues to goroutines, in a new epoch if the driver or the link is new.
func (d *Device) start(a virtio.Activation) {
	ctx, cancel := context.WithCancel(context.Background())
	d.run = &run{d: d, a: a, ctx: ctx, cancel: cancel}
	if d.fresh && d.link != nil {
		// A link that is down says so to whoever uses it.
		_ = d.link.NewEpoch(d.run.agreed())
		clear(d.held)
	}
	d.fresh = false
	d.run.start()
}

// halt takes them back. A plugin that keeps a goroutine from ending loses its link.
func (d *Device) halt() {
	if d.run == nil {
		return
	}
	d.run.cancel()
	if l := d.link; l != nil {
		stalled := time.AfterFunc(d.patience, func() { _ = l.Break(errStalled) })
		defer stalled.Stop()
	}
	d.run.tasks.Wait()
	d.run = nil
}
