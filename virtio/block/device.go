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
	geometry geometry

	// writeback is the cache mode that the driver sees and may set: completed writes are safe after a flush only.
	writeback atomic.Bool

	life sync.Mutex // held by Activate and Stop, since Close may come while a transport still runs
	stop chan struct{}
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
	d := &Device{opt: opt, log: opt.Logger, file: file, geometry: g}
	d.writeback.Store(!opt.ReadOnly)
	return d, nil
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
func (d *Device) Activate(virtio.Activation) error {
	return errors.New("block: requests are not served yet")
}

// Stop implements virtio.Device.
func (d *Device) Stop() {}

// Reset implements virtio.Device: the cache is writeback again.
func (d *Device) Reset() {
	d.Stop()
	d.writeback.Store(!d.opt.ReadOnly)
}

// Close stops the device and closes its file.
func (d *Device) Close() error {
	d.Stop()
	return d.file.Close()
}

// Stats counts what a disk has done since it was made.
type Stats struct {
	Reads, Writes, Flushes, Discards, WriteZeroes uint64 // requests that succeeded
	ReadBytes, WrittenBytes                       uint64
	Errors                                        uint64 // requests that failed or were refused
}

// Stats returns the counters. It may be called at any time.
func (d *Device) Stats() Stats { return Stats{} }
