package power

import (
	"sync/atomic"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/virtio"
)

// Values that guests write. S5 must agree with the package _S5 of the DSDT, and ResetValue with RESET_VALUE of the FADT.
const (
	S5         = 5
	ResetValue = 1

	sleepTypeShift = 2
	sleepTypeMask  = 7
	sleepEnable    = 1 << 5

	panicked = 1 << 0 // pvpanic's only event here: a guest with a crash kernel looks after its panics itself

	keyboardReset = 0xfe // pulse the reset line

	buttonEvent = 1 << 0 // event port
)

// Events are called when the guest ends. None may be nil, and none may block.
type Events struct {
	PowerOff func()
	Reset    func()
	Panic    func() // the guest may go on afterwards, up to a reset
}

// Device answers the ports. Its methods may be called from several threads at once.
type Device struct {
	events Events
	irq    virtio.Call
	due    atomic.Uint32 // of the event port
	ended  atomic.Bool   // PowerOff or Reset was called
}

// New returns a device that signals irq, the line layout.EventIRQ, for events of the host.
func New(events Events, irq virtio.Call) *Device { return &Device{events: events, irq: irq} }

// PressButton presses the power button: the guest's driver reports it to whoever listens there. A guest without a driver, or
// one that is stuck, does nothing, so the caller waits only so long.
func (d *Device) PressButton() error {
	d.due.Or(buttonEvent)
	return d.irq.Signal()
}

// Port is a piece of the port space with the handler that answers it.
type Port struct {
	Base, Size uint64
	Handler    Handler
}

// Handler answers accesses to a device's ports, at offset from its first one.
type Handler interface {
	Read(offset uint64, p []byte)
	Write(offset uint64, p []byte)
}

// Ports returns what has to be on the VM's port bus.
func (d *Device) Ports() []Port {
	return []Port{
		{layout.SleepControlPort, 1, port{write: d.sleep}},
		{layout.SleepStatusPort, 1, port{}},
		{layout.ResetPort, 1, port{write: d.reset}},
		{layout.PanicPort, 1, port{read: panicCapability, write: d.panic}},
		{layout.EventPort, 4, eventPort{d}},
		{layout.KeyboardPort, 1, port{write: d.keyboard}},
	}
}

// end calls f unless the guest has ended before.
func (d *Device) end(f func()) {
	if d.ended.CompareAndSwap(false, true) {
		f()
	}
}

func (d *Device) sleep(v byte) {
	if v&sleepEnable != 0 && v>>sleepTypeShift&sleepTypeMask == S5 {
		d.end(d.events.PowerOff)
	}
}

func (d *Device) reset(v byte) {
	if v == ResetValue {
		d.end(d.events.Reset)
	}
}

func (d *Device) keyboard(v byte) {
	if v == keyboardReset {
		d.end(d.events.Reset)
	}
}

func (d *Device) panic(v byte) {
	if v&panicked != 0 && !d.ended.Load() {
		d.events.Panic()
	}
}

func panicCapability() byte { return panicked }
