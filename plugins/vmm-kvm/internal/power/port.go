package power

import (
	"encoding/binary"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
)

// Handler answers accesses to a device's ports, at offset from its first one.
type Handler interface {
	Read(offset uint64, p []byte)
	Write(offset uint64, p []byte)
}

// Port is a piece of the port space with the handler that answers it.
type Port struct {
	Base, Size uint64
	Handler    Handler
}

// Ports returns what has to be on the VM's port bus.
func (d *Device) Ports() []Port {
	return []Port{
		{layout.SleepControlPort, 1, port{write: d.sleep}},
		{layout.SleepStatusPort, 1, port{}},
		{layout.ResetPort, 1, port{write: d.reset}},
		{layout.PanicPort, 1, port{read: panicEvents, write: d.panic}},
		{layout.EventPort, 4, eventPort{d}},
		{layout.KeyboardPort, 1, port{write: d.keyboard}},
	}
}

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
