package power

import (
	"encoding/binary"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/bus"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
)

// Attach puts the device on the VM's port bus.
func (d *Device) Attach(ports *bus.Bus) error {
	for _, p := range []struct {
		name       string
		base, size uint64
		handler    bus.Handler
	}{
		{"sleep", layout.SleepControlPort, 1, port{write: d.sleep}},
		{"sleep", layout.SleepStatusPort, 1, port{}},
		{"reset", layout.ResetPort, 1, port{write: d.reset}},
		{"pvpanic", layout.PanicPort, 1, port{read: panicEvents, write: d.panic}},
		{"events", layout.EventPort, 4, eventPort{d}},
		{"keyboard", layout.KeyboardPort, 1, port{write: d.keyboard}},
	} {
		if err := ports.Attach(p.name, p.base, p.size, p.handler); err != nil {
			return err
		}
	}
	return nil
}

// port is a register of one byte. It reads as 0 where nothing else is said: no wake-up has happened, and the keyboard
// controller is ready for the next command.
type port struct {
	read  func() byte
	write func(byte)
}

// Read implements bus.Handler.
func (r port) Read(_ uint64, p []byte) {
	clear(p)
	if r.read != nil && len(p) > 0 {
		p[0] = r.read()
	}
}

// Write implements bus.Handler.
func (r port) Write(_ uint64, p []byte) {
	if r.write != nil && len(p) > 0 {
		r.write(p[0])
	}
}

// eventPort is read whole, which takes the events: a narrower read would lose some, and gets none.
type eventPort struct{ d *Device }

// Read implements bus.Handler.
func (e eventPort) Read(offset uint64, p []byte) {
	clear(p)
	if offset == 0 && len(p) == 4 {
		binary.LittleEndian.PutUint32(p, e.d.due.Swap(0))
	}
}

// Write implements bus.Handler; there is nothing to write.
func (e eventPort) Write(uint64, []byte) {}
