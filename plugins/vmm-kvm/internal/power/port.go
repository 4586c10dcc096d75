package power

import (
	"encoding/binary"

	"github.com/voidbox-run/voidbox/virtio"
)

// port is a register of one byte. It reads as 0 where nothing else is said: no wake-up has happened, and the keyboard
// controller is ready for the next command.
type port struct {
	read  func() byte
	write func(byte)
}

// Read implements Handler.
func (r port) Read(_ uint64, p []byte) {
	clear(p)
	if r.read != nil && len(p) > 0 {
		p[0] = r.read()
	}
}

// Write implements Handler.
func (r port) Write(_ uint64, p []byte) {
	if r.write != nil && len(p) > 0 {
		r.write(p[0])
	}
}

// eventPort is read whole, which takes the events: a narrower read would lose some, and gets none.
type eventPort struct{ d *Device }

// Read implements Handler.
func (e eventPort) Read(offset uint64, p []byte) {
	clear(p)
	if offset == 0 && len(p) == 4 {
		binary.LittleEndian.PutUint32(p, e.d.due.Swap(0))
	}
}

// Write implements Handler; there is nothing to write.
func (e eventPort) Write(uint64, []byte) {}

const stateVersion = 1

type state struct{ Due uint32 }

// SaveState returns the device's state: the events that the guest has not fetched yet.
func (d *Device) SaveState() ([]byte, error) {
	return virtio.EncodeState(stateVersion, state{Due: d.due.Load()})
}

// LoadState takes a state over, or leaves the device as it was.
func (d *Device) LoadState(saved []byte) error {
	var s state
	if err := virtio.DecodeState(saved, stateVersion, &s); err != nil {
		return err
	}
	d.due.Store(s.Due & buttonEvent)
	if d.due.Load() != 0 {
		return d.irq.Signal()
	}
	return nil
}
