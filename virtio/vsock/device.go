package vsock

import (
	"errors"

	"github.com/voidbox-run/voidbox/virtio"
)

// Device is the device model; it implements virtio.Device.
type Device struct{ cfg Config }

var _ virtio.Device = (*Device)(nil)

// New creates the device and its host socket.
func New(cfg Config) (*Device, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	return nil, errors.ErrUnsupported
}

func (d *Device) DeviceID() uint32                   { return virtio.IDVsock }
func (d *Device) Features() uint64                   { return 0 }
func (d *Device) QueueSizes() []uint16               { return []uint16{256, 256, 64} }
func (d *Device) ReadConfig(off uint32, p []byte)    {}
func (d *Device) WriteConfig(off uint32, p []byte)   {}
func (d *Device) Activate(a virtio.Activation) error { return errors.ErrUnsupported }
func (d *Device) Stop()                              {}
func (d *Device) Reset()                             {}

// Close ends all connections, removes the host socket and waits for everything that the device runs.
func (d *Device) Close() error { return nil }
