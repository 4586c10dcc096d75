package balloon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/voidbox-run/voidbox/virtio"
)

// PageSize is the unit of the balloon, whatever the guest's own pages are (section 5.5.6).
const PageSize = 4096

// Queue indices (section 5.5.2). There is no free page hinting, whose queue would be number 3; see reporting.
const (
	queueInflate = 0
	queueDeflate = 1
	queueStats   = 2
	queueCount   = 5
)

// Feature bits (section 5.5.3).
const (
	featureStats        = 1 << 1 // VIRTIO_BALLOON_F_STATS_VQ
	featureDeflateOnOOM = 1 << 2 // VIRTIO_BALLOON_F_DEFLATE_ON_OOM
	featureReporting    = 1 << 5 // VIRTIO_BALLOON_F_PAGE_REPORTING
)

// Discarder gives memory back to the host. The range is of whole pages and lies in one region of guest memory; it reads as zeros
// afterwards. Discard is called by several goroutines at once, and does not block.
type Discarder interface {
	Discard(addr, n uint64) error
}

// Config says what a balloon is.
type Config struct {
	// Memory is where pages go.
	Memory Discarder
	// Logger receives what goes wrong; nil means slog.Default.
	Logger *slog.Logger
}

// Device is the device model; it implements virtio.Stateful.
type Device struct {
	memory  Discarder
	log     *slog.Logger
	workers virtio.Workers
	stats   statistics

	mu        sync.Mutex
	target    uint32 // pages
	actual    uint32 // pages, as the driver says
	discarded uint64 // bytes
	failed    bool   // a failed Discard has been logged aloud
}

var _ virtio.Stateful = (*Device)(nil)

// New returns a balloon that is empty.
func New(cfg Config) (*Device, error) {
	if cfg.Memory == nil {
		return nil, errors.New("virtio balloon: no memory to give pages back to")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	d := &Device{memory: cfg.Memory, log: cfg.Logger}
	d.stats.init()
	return d, nil
}

// SetTarget asks the guest for a balloon of so many bytes, a multiple of PageSize. It gets there in its own time, or never.
func (d *Device) SetTarget(bytes uint64) error {
	if bytes%PageSize != 0 || bytes/PageSize > 1<<32-1 {
		return fmt.Errorf("virtio balloon: a target of %d bytes", bytes)
	}
	d.mu.Lock()
	d.target = uint32(bytes / PageSize)
	d.mu.Unlock()
	d.workers.ConfigChanged()
	return nil
}

// Size returns how large the driver says that the balloon is, and what was asked of it, in bytes.
func (d *Device) Size() (actual, target uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return uint64(d.actual) * PageSize, uint64(d.target) * PageSize
}

// Discarded returns how many bytes have been given back since the device was made, counting again those that the guest used
// again in between.
func (d *Device) Discarded() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.discarded
}

// DeviceID implements virtio.Device.
func (d *Device) DeviceID() uint32 { return virtio.IDBalloon }

// Features implements virtio.Device.
func (d *Device) Features() uint64 { return featureStats | featureDeflateOnOOM | featureReporting }

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 { return []uint16{128, 128, 16, 128, 128} }

// ReadConfig implements virtio.Device (section 5.5.4): the target and the actual size, in pages.
func (d *Device) ReadConfig(offset uint32, p []byte) {
	var space [8]byte
	d.mu.Lock()
	binary.LittleEndian.PutUint32(space[0:], d.target)
	binary.LittleEndian.PutUint32(space[4:], d.actual)
	d.mu.Unlock()
	clear(p)
	if offset < uint32(len(space)) {
		copy(p, space[offset:])
	}
}

// WriteConfig implements virtio.Device. Drivers write the actual size, whole.
func (d *Device) WriteConfig(offset uint32, p []byte) {
	if offset != 4 || len(p) != 4 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.actual = binary.LittleEndian.Uint32(p)
}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	var workers [queueCount]virtio.Worker
	workers[queueInflate] = d.inflate(a.Memory)
	workers[queueDeflate] = deflate
	// Linux before 6.11 numbers only those queues that its features ask for, so that reporting, number 4, is 3 or, without
	// statistics, 2. Without free page hinting, nothing else can be meant.
	for i := queueStats; i < queueCount && a.Features&featureReporting != 0; i++ {
		workers[i] = d.report(a.Memory)
	}
	if a.Features&featureStats != 0 {
		workers[queueStats] = d.stats.serve
	}
	return d.workers.Start(a, workers[:]...)
}

// Stop implements virtio.Device.
func (d *Device) Stop() { d.workers.Stop() }

// Reset implements virtio.Device. The target stays, for the next driver.
func (d *Device) Reset() {
	d.workers.Stop()
	d.stats.forget()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.actual = 0
}

const stateVersion = 1

type savedBalloon struct {
	Target uint32 `json:"target"`
	Actual uint32 `json:"actual"`
	// Reported says that the statistics in statsq are old ones.
	Reported bool `json:"reported"`
}

// SaveState implements virtio.Stateful.
func (d *Device) SaveState() ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return virtio.EncodeState(stateVersion, savedBalloon{Target: d.target, Actual: d.actual, Reported: d.stats.isKnown()})
}

// LoadState implements virtio.Stateful.
func (d *Device) LoadState(state []byte) error {
	var s savedBalloon
	if err := virtio.DecodeState(state, stateVersion, &s); err != nil {
		return err
	}
	d.stats.setKnown(s.Reported)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.target, d.actual = s.Target, s.Actual
	return nil
}
