//go:build linux

package block

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/voidbox-run/voidbox/virtio"
)

// Device is one disk. It implements virtio.Device.
type Device struct {
	opt      Options
	log      *slog.Logger
	file     *os.File
	disk     storage
	geometry geometry
	id       [serialSize]byte // padded with zeros

	// writeback is the cache mode that the driver sees and may set: completed writes are safe after a flush only.
	writeback atomic.Bool

	counters counters
	failed   atomic.Bool // that the storage failed has been logged

	life   sync.Mutex // held by Activate and Stop, since Close may come while a transport still runs
	queues virtio.Workers
	pool   *pool // nil while stopped
	closed bool
}

var _ virtio.Device = (*Device)(nil)

// New returns the disk that file is, and takes file over; when New fails, file stays the caller's. The file is a regular file
// or a block device, open for reading and, unless Options.ReadOnly, for writing. Its size, a multiple of 512 bytes, is the
// disk's for good. An error wraps fs.ErrPermission where the file is open read-only and the disk is not, and fs.ErrInvalid
// where the file or an option cannot be used.
func New(file *os.File, opt Options) (*Device, error) {
	if err := opt.setDefaults(); err != nil {
		return nil, fmt.Errorf("disk %s: %w", file.Name(), err)
	}
	g, err := inspect(file, &opt)
	if err != nil {
		return nil, fmt.Errorf("disk %s: %w", file.Name(), err)
	}
	disk, err := newHostFile(int(file.Fd()))
	if err != nil {
		return nil, fmt.Errorf("disk %s: %w", file.Name(), err)
	}
	d := newDevice(opt, g, disk)
	d.file = file
	return d, nil
}

// newDevice returns a device without a file to close.
func newDevice(opt Options, g geometry, disk storage) *Device {
	d := &Device{opt: opt, log: opt.Logger, disk: disk, geometry: g}
	copy(d.id[:], opt.Serial)
	d.writeback.Store(!opt.ReadOnly)
	return d
}

// name says which disk it is in messages.
func (d *Device) name() string {
	if d.file == nil {
		return d.opt.Serial
	}
	return d.file.Name()
}

// DeviceID implements virtio.Device.
func (d *Device) DeviceID() uint32 { return virtio.IDBlock }

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 {
	sizes := make([]uint16, d.opt.Queues)
	for i := range sizes {
		sizes[i] = queueSize
	}
	return sizes
}

// Sectors returns the size of the disk in units of 512 bytes.
func (d *Device) Sectors() uint64 { return d.geometry.sectors }

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	d.life.Lock()
	defer d.life.Unlock()
	if d.pool != nil {
		return errors.New("block: activated while it runs")
	}
	if d.closed {
		return errors.New("block: activated after Close")
	}
	p := newPool(d.opt.Workers, d.opt.Queues)
	workers := make([]virtio.Worker, d.opt.Queues)
	for i := range workers {
		workers[i] = func(vq *virtio.Queue, stop <-chan struct{}) error {
			return newQueue(d, p, vq, a.Features, stop).serve()
		}
	}
	d.pool = p
	return d.queues.Start(a, workers...)
}

// Stop implements virtio.Device. It waits for the requests that the storage holds, however long that takes.
func (d *Device) Stop() {
	d.life.Lock()
	defer d.life.Unlock()
	d.halt()
}

func (d *Device) halt() {
	if d.pool == nil {
		return
	}
	d.queues.Stop()
	d.pool.close()
	d.pool = nil
}

// Reset implements virtio.Device: the cache is writeback again.
func (d *Device) Reset() {
	d.Stop()
	d.writeback.Store(!d.opt.ReadOnly)
}

// Close stops the device and closes its file.
func (d *Device) Close() error {
	d.life.Lock()
	defer d.life.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	d.halt()
	return d.file.Close()
}
