package power

import (
	"sync/atomic"

	"github.com/voidbox-run/voidbox/virtio"
)

// Values that the ACPI tables announce.
const (
	S5          = 5 // the sleep type that powers off
	ResetValue  = 1
	ButtonEvent = 1 << 0 // of the event port
)

const (
	sleepTypeShift = 2 // sleep control register
	sleepTypeMask  = 7
	sleepEnable    = 1 << 5

	keyboardReset = 0xfe // pulse the reset line

	// panicked is pvpanic's only event here: a guest that has a crash kernel looks after its panics itself.
	panicked = 1 << 0
)

// Events are called when the guest ends. None may be nil, and none may block.
type Events struct {
	PowerOff func()
	Reset    func()
	Panic    func() // the guest may go on afterwards, up to a reset
}

// Device answers the ports. Its methods may be called from several threads at once.
type Device struct {
	events  Events
	irq     virtio.Call
	due     atomic.Uint32 // events of the event port
	ended   atomic.Bool   // PowerOff or Reset was called
	crashed atomic.Bool   // Panic was called
}

// New returns a device that signals irq, the line layout.EventIRQ, for events of the host.
func New(events Events, irq virtio.Call) *Device { return &Device{events: events, irq: irq} }

// PressButton presses the power button: the guest's driver reports it to whoever listens there. A guest without a driver, or
// one that is stuck, does nothing, so the caller waits only so long.
func (d *Device) PressButton() error {
	d.due.Or(ButtonEvent)
	return d.irq.Signal()
}

// once calls f if nobody has set done.
func once(done *atomic.Bool, f func()) {
	if done.CompareAndSwap(false, true) {
		f()
	}
}

func (d *Device) sleep(v byte) {
	if v&sleepEnable != 0 && v>>sleepTypeShift&sleepTypeMask == S5 {
		once(&d.ended, d.events.PowerOff)
	}
}

func (d *Device) reset(v byte) {
	if v == ResetValue {
		once(&d.ended, d.events.Reset)
	}
}

func (d *Device) keyboard(v byte) {
	if v == keyboardReset {
		once(&d.ended, d.events.Reset)
	}
}

func panicEvents() byte { return panicked }

func (d *Device) panic(v byte) {
	if v&panicked != 0 {
		once(&d.crashed, d.events.Panic)
	}
}
