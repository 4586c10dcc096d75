//go:build linux

package fs

import (
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
	count    counters
	patience time.Duration

	// life guards what follows, since Relink and Close come while a transport drives the device.
	life   sync.Mutex
	closed atomic.Bool
	link   *link.Link     // nil before the first one; else up or down
	watch  sync.WaitGroup // waits for the end of link
	lanes  []lane         // by queue
	fresh  bool           // the next run begins a new epoch: the driver or the link is a new one
	run    *run           // nil while the device is stopped
}

var (
	_ virtio.Device = (*Device)(nil)

	errRunning = errors.New("virtio-fs: the device runs")
)

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
		return nil, fmt.Errorf("virtio-fs: %w", err)
	}
	d := &Device{
		cfg: cfg, log: cfg.Logger.With("tag", cfg.Tag), patience: stallTime,
		lanes: make([]lane, 1+cfg.Queues), fresh: true,
	}
	if cfg.Link != nil {
		d.plug(cfg.Link)
	}
	return d, nil
}

// plug makes l the device's link, in the place of one that was unplugged.
func (d *Device) plug(l *link.Link) {
	d.link, d.fresh = l, true
	d.lanes = newLanes(d.lanes, l)
	d.count.inFlight.Store(0)
	d.watch.Go(func() {
		<-l.Done()
		if d.closed.Load() {
			return
		}
		d.count.downs.Add(1)
		d.log.Warn("the share's link is down", "error", l.Err())
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

// Ask returns what to dial the share with for Relink.
func (d *Device) Ask() link.Ask {
	d.life.Lock()
	defer d.life.Unlock()
	ask := Ask(d.cfg.Queues)
	if d.link != nil {
		ask.Epoch = d.link.Epoch() + 1
	}
	return ask
}

// Relink replaces the link, which may be down or still up, and takes l over, also when it fails. Requests that went to the old
// link and have no reply fail with EIO.
func (d *Device) Relink(l *link.Link) error {
	d.life.Lock()
	defer d.life.Unlock()
	err := d.cfg.admit(l)
	if d.closed.Load() {
		err = errors.New("the device is closed")
	}
	if err != nil {
		l.Close()
		return fmt.Errorf("virtio-fs: %w", err)
	}
	r := d.run
	d.halt(0)
	d.unplug()
	d.plug(l)
	d.cfg.OnLink(true, nil)
	if r != nil {
		d.start(r.a)
	}
	return nil
}

// DeviceID implements virtio.Device.
func (d *Device) DeviceID() uint32 { return virtio.IDFS }

// Features implements virtio.Device.
func (d *Device) Features() uint64 { return 0 }

// queueSize is that of all queues: Linux makes no request of more pages than a queue has descriptors, and QEMU's virtio-mmio
// knows no other size.
const queueSize = 1024

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 {
	sizes := make([]uint16, 1+d.cfg.Queues)
	for i := range sizes {
		sizes[i] = queueSize
	}
	return sizes
}

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint32, p []byte) {
	space := d.cfg.space()
	clear(p)
	if int64(offset) < int64(len(space)) {
		copy(p, space[offset:])
	}
}

// WriteConfig implements virtio.Device; nothing in the space can be written.
func (d *Device) WriteConfig(uint32, []byte) {}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	d.life.Lock()
	defer d.life.Unlock()
	if d.run != nil {
		return errRunning
	}
	if d.closed.Load() {
		return errors.New("virtio-fs: activated after Close")
	}
	d.start(a)
	return nil
}

// Stop implements virtio.Device. It waits for replies, at most for the time of Config.Drain.
func (d *Device) Stop() {
	d.life.Lock()
	defer d.life.Unlock()
	d.halt(d.cfg.Drain)
}

// Reset implements virtio.Device.
func (d *Device) Reset() {
	d.life.Lock()
	defer d.life.Unlock()
	d.halt(0)
	d.fresh = true
	for i := range d.lanes {
		d.lanes[i].forget()
	}
	d.count.inFlight.Store(0)
}

// Close stops the device and takes its link down.
func (d *Device) Close() error {
	d.life.Lock()
	defer d.life.Unlock()
	d.closed.Store(true)
	d.halt(0)
	d.unplug()
	return nil
}

// start lends the queues to goroutines, in a new epoch if the driver or the link is new.
func (d *Device) start(a virtio.Activation) {
	if d.fresh && d.link != nil {
		// A link that is down says so to whoever uses it.
		_ = d.link.NewEpoch(0)
	}
	d.fresh = false
	d.run = newRun(d, a)
	d.run.start()
}

// halt takes them back, after replies had the given time to come.
func (d *Device) halt(drain time.Duration) {
	if d.run == nil {
		return
	}
	d.run.stop(drain)
	d.run = nil
}
