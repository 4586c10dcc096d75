package rng

import (
	"crypto/rand"

	"github.com/voidbox-run/voidbox/virtio"
)

const (
	// maxRequest bounds the answer to one request. Linux asks for 64 bytes.
	maxRequest = 64 << 10

	chunk       = 4 << 10
	stateSchema = 1
)

// Device is the device model; it implements virtio.Stateful.
type Device struct {
	workers virtio.Workers
}

var _ virtio.Stateful = (*Device)(nil)

// New returns an entropy device.
func New() *Device { return &Device{} }

// DeviceID implements virtio.Device.
func (d *Device) DeviceID() uint32 { return virtio.IDEntropy }

// Features implements virtio.Device; there are none (section 5.4.3).
func (d *Device) Features() uint64 { return 0 }

// QueueSizes implements virtio.Device: requestq.
func (d *Device) QueueSizes() []uint16 { return []uint16{64} }

// ReadConfig implements virtio.Device; the space is empty.
func (d *Device) ReadConfig(_ uint32, p []byte) { clear(p) }

// WriteConfig implements virtio.Device.
func (d *Device) WriteConfig(uint32, []byte) {}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error { return d.workers.Start(a, serve) }

// Stop implements virtio.Device.
func (d *Device) Stop() { d.workers.Stop() }

// Reset implements virtio.Device.
func (d *Device) Reset() { d.workers.Stop() }

// SaveState implements virtio.Stateful. There is nothing to remember, least of all random numbers.
func (d *Device) SaveState() ([]byte, error) { return virtio.EncodeState(stateSchema, struct{}{}) }

// LoadState implements virtio.Stateful.
func (d *Device) LoadState(state []byte) error {
	return virtio.DecodeState(state, stateSchema, &struct{}{})
}

func serve(q *virtio.Queue, stop <-chan struct{}) error {
	var buffer [chunk]byte
	return virtio.Serve(q, stop, func(c *virtio.Chain) int { return fill(c.Writable, buffer[:]) })
}

// fill writes random bytes to room and returns how many. They go through a buffer of ours: crypto/rand ends the process where
// it cannot write, and guest memory may go away.
func fill(room virtio.Segments, buffer []byte) int {
	n := min(room.Len(), maxRequest)
	for done := 0; done < n; {
		part := buffer[:min(len(buffer), n-done)]
		_, _ = rand.Read(part) // never fails
		done += room.CopyFrom(part, done)
	}
	clear(buffer)
	return n
}
