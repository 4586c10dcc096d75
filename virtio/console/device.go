package console

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/voidbox-run/voidbox/virtio"
)

// featureSize is VIRTIO_CONSOLE_F_SIZE (section 5.3.3).
const featureSize = 1 << 0

// MaxInput is how many bytes of input wait for the guest.
const MaxInput = 64 << 10

// Config says what a console is.
type Config struct {
	// Output receives what the guest writes. It must not block; its errors are ignored.
	Output io.Writer
	// Columns and Rows are the size of the terminal; 0 where there is none to tell.
	Columns, Rows uint16
}

// Device is the device model; it implements virtio.Stateful.
type Device struct {
	output  io.Writer
	sized   bool
	workers virtio.Workers
	arrived chan struct{} // tells receive that there is input

	mu            sync.Mutex
	columns, rows uint16
	input         []byte
}

var _ virtio.Stateful = (*Device)(nil)

// New returns a console.
func New(cfg Config) (*Device, error) {
	if cfg.Output == nil {
		return nil, errors.New("virtio console: no output")
	}
	return &Device{
		output: cfg.Output, columns: cfg.Columns, rows: cfg.Rows,
		sized:   cfg.Columns != 0 && cfg.Rows != 0,
		arrived: make(chan struct{}, 1),
	}, nil
}

// Input queues p for the guest to read and returns how many of its bytes there was room for.
func (d *Device) Input(p []byte) int {
	d.mu.Lock()
	n := min(len(p), MaxInput-len(d.input))
	d.input = append(d.input, p[:n]...)
	d.mu.Unlock()
	if n > 0 {
		d.wake()
	}
	return n
}

// Resize tells the guest that the terminal has a new size. A console that was made without a size has none to change.
func (d *Device) Resize(columns, rows uint16) {
	if !d.sized {
		return
	}
	d.mu.Lock()
	d.columns, d.rows = columns, rows
	d.mu.Unlock()
	d.workers.ConfigChanged()
}

// DeviceID implements virtio.Device.
func (d *Device) DeviceID() uint32 { return virtio.IDConsole }

// Features implements virtio.Device.
func (d *Device) Features() uint64 {
	if d.sized {
		return featureSize
	}
	return 0
}

// QueueSizes implements virtio.Device: receiveq and transmitq of port 0.
func (d *Device) QueueSizes() []uint16 { return []uint16{256, 256} }

// ReadConfig implements virtio.Device (section 5.3.4): columns, rows, ports, emergency write.
func (d *Device) ReadConfig(offset uint32, p []byte) {
	var space [12]byte
	d.mu.Lock()
	binary.LittleEndian.PutUint16(space[0:], d.columns)
	binary.LittleEndian.PutUint16(space[2:], d.rows)
	d.mu.Unlock()
	binary.LittleEndian.PutUint32(space[4:], 1)
	clear(p)
	if offset < uint32(len(space)) {
		copy(p, space[offset:])
	}
}

// WriteConfig implements virtio.Device; nothing can be written.
func (d *Device) WriteConfig(uint32, []byte) {}

// Activate implements virtio.Device. The queues are receiveq and transmitq, in this order (section 5.3.2).
func (d *Device) Activate(a virtio.Activation) error {
	return d.workers.Start(a, d.receive, d.transmit)
}

// Stop implements virtio.Device.
func (d *Device) Stop() { d.workers.Stop() }

// Reset implements virtio.Device. Input that the guest has not taken is for whoever opens the console next.
func (d *Device) Reset() { d.workers.Stop() }

const stateVersion = 1

type savedConsole struct {
	Columns uint16 `json:"columns"`
	Rows    uint16 `json:"rows"`
	Input   []byte `json:"input"`
}

// SaveState implements virtio.Stateful.
func (d *Device) SaveState() ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return virtio.EncodeState(stateVersion, savedConsole{Columns: d.columns, Rows: d.rows, Input: d.input})
}

// LoadState implements virtio.Stateful.
func (d *Device) LoadState(state []byte) error {
	var s savedConsole
	if err := virtio.DecodeState(state, stateVersion, &s); err != nil {
		return err
	}
	if len(s.Input) > MaxInput {
		return fmt.Errorf("%w: %d bytes of input", virtio.ErrState, len(s.Input))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.columns, d.rows, d.input = s.Columns, s.Rows, s.Input
	return nil
}
