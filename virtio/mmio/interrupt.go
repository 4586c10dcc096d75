//go:build linux

package mmio

import (
	"sync/atomic"

	"github.com/voidbox-run/voidbox/virtio"
)

// interrupt is the device's interrupt and the two registers that tell a driver what it means.
type interrupt struct {
	status     atomic.Uint32
	generation atomic.Uint32 // of the configuration space
	line       virtio.Call
}

// Signal implements virtio.Call: the device has used buffers.
func (i *interrupt) Signal() error { return i.raise(interruptUsed) }

// configChanged implements virtio.Activation.ConfigChanged, and also announces DEVICE_NEEDS_RESET.
func (i *interrupt) configChanged() {
	i.generation.Add(1)
	_ = i.raise(interruptConfig)
}

// raise sets bits before it signals the line, so that the driver's handler finds them. The line is signalled even where they
// were set already: the handler may just have read the register.
func (i *interrupt) raise(bits uint32) error {
	i.status.Or(bits)
	return i.line.Signal()
}

// again signals the line if the driver has not acknowledged everything. One interrupt too many does no harm.
func (i *interrupt) again() {
	if i.status.Load() != 0 {
		_ = i.line.Signal()
	}
}
