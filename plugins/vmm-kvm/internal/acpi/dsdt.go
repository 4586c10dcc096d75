package acpi

import (
	"fmt"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/power"
)

// dsdt is the body of the DSDT, everything after its header. testdata/dsdt.asl is the same in ASL.
func dsdt(devices int) []byte {
	terms := [][]byte{serialPort(), panicDevice(), powerButton(), eventDevice()}
	for i := range devices {
		terms = append(terms, virtioDevice(i, layout.DeviceSlot(i)))
	}
	return append(scope("_SB", terms...), named("_S5", packageOf(integer(power.S5), integer(0), integer(0), integer(0)))...)
}

// virtioDevice is a virtio-mmio device: LNRO0005 is the identifier that Linux' driver looks for.
func virtioDevice(i int, slot layout.Slot) []byte {
	return device(fmt.Sprintf("V%03d", i),
		named("_HID", text("LNRO0005")),
		named("_UID", integer(uint64(i))),
		named("_CRS", resources(memory(uint32(slot.Base), layout.DeviceSize), interrupt(slot.IRQ))))
}

// serialPort is COM1. Linux finds the port without it, but not its interrupt.
func serialPort() []byte {
	return device("COM1",
		named("_HID", eisaID("PNP0501")),
		named("_UID", integer(0)),
		named("_CRS", resources(ports(layout.SerialPort, 8), interrupt(layout.SerialIRQ))))
}

// panicDevice is pvpanic. Linux' driver asks for its port and accesses it without any method.
func panicDevice() []byte {
	return device("PVPN",
		named("_HID", text("QEMU0001")),
		named("_UID", integer(0)),
		named("_CRS", resources(ports(layout.PanicPort, 1))))
}

func powerButton() []byte {
	return device("PWRB", named("_HID", eisaID("PNP0C0C")), named("_UID", integer(0)))
}

// eventDevice is the Generic Event Device (section 5.6.9): at its interrupt the guest runs _EVT, which fetches what is due.
func eventDevice() []byte {
	const pressed = 0x80
	return device("GED",
		named("_HID", text("ACPI0013")),
		named("_UID", integer(0)),
		named("_CRS", resources(interrupt(layout.EventIRQ))),
		ioRegion("EVTR", layout.EventPort, 4),
		field32("EVTR", "DUE"),
		method("_EVT", 1,
			store(path("DUE"), local0),
			ifTrue(and(local0, integer(power.ButtonEvent)), notify("PWRB", pressed))))
}
