package acpi

import (
	"slices"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/power"
)

const (
	oemID        = "VOIDBX"
	oemTableID   = "VOIDBOX "
	creatorID    = "VOID"
	headerSize   = 36
	rsdpSize     = 36
	checksumAt   = 9 // in a table's header
	fadtBodySize = 276 - headerSize
)

// table puts the header of section 5.2.6 before body.
func table(signature string, revision byte, body []byte) []byte {
	b := make([]byte, 0, headerSize+len(body))
	b = append(b, signature...)
	b = le.AppendUint32(b, uint32(headerSize+len(body)))
	b = append(b, revision, 0)
	b = append(b, oemID+oemTableID...)
	b = le.AppendUint32(b, 1)
	b = append(b, creatorID...)
	b = le.AppendUint32(b, 1)
	b = append(b, body...)
	b[checksumAt] = checksum(b)
	return b
}

// checksum returns the byte that makes the sum of b 0, where its place holds 0.
func checksum(b []byte) (sum byte) {
	for _, v := range b {
		sum -= v
	}
	return sum
}

// rsdp is section 5.2.5.3's root pointer, without an RSDT.
func rsdp(xsdt uint64) []byte {
	b := make([]byte, rsdpSize)
	copy(b, "RSD PTR ")
	copy(b[9:], oemID)
	b[15] = 2 // revision
	le.PutUint32(b[20:], rsdpSize)
	le.PutUint64(b[24:], xsdt)
	b[8] = checksum(b[:20]) // of the part that ACPI 1.0 knew
	b[32] = checksum(b)
	return b
}

// xsdt lists the addresses of the other tables.
func xsdt(tables ...uint64) []byte {
	var body []byte
	for _, at := range tables {
		body = le.AppendUint64(body, at)
	}
	return table("XSDT", 1, body)
}

// FADT flags (section 5.2.9).
const (
	flagWBINVD          = 1 << 0
	flagPowerButton     = 1 << 4 // not a fixed feature: there is a device, if any
	flagSleepButton     = 1 << 5
	flagReset           = 1 << 10 // RESET_REG is there
	flagHardwareReduced = 1 << 20
	bootNoVGA           = 1 << 2
	bootNoCMOSClock     = 1 << 5
)

// fadt is the fixed description. Offsets are those of section 5.2.9, from the start of the table.
func fadt(dsdt uint64) []byte {
	b := make([]byte, fadtBodySize)
	at := func(offset int) []byte { return b[offset-headerSize:] }
	le.PutUint16(at(109), bootNoVGA|bootNoCMOSClock) // and neither legacy devices nor an 8042
	le.PutUint32(at(112), flagWBINVD|flagPowerButton|flagSleepButton|flagReset|flagHardwareReduced)
	copy(at(116), portRegister(layout.ResetPort))
	at(128)[0] = power.ResetValue
	at(131)[0] = 5 // minor version
	le.PutUint64(at(140), dsdt)
	copy(at(244), portRegister(layout.SleepControlPort))
	copy(at(256), portRegister(layout.SleepStatusPort))
	copy(at(268), "voidbox") // hypervisor vendor
	return table("FACP", 6, b)
}

// portRegister is a Generic Address Structure (section 5.2.3.2) of a register of one byte.
func portRegister(port uint64) []byte {
	const bits, byteAccess = 8, 1
	return le.AppendUint64([]byte{systemIO, bits, 0, byteAccess}, port)
}

// madt is the interrupt model (section 5.2.12): local APICs of the CPUs, and the I/O APIC. The I/O APIC's identifier is that
// which KVM gives it.
func madt(cpus int) []byte {
	const enabled = 1
	body := le.AppendUint32(nil, layout.LAPIC)
	body = le.AppendUint32(body, 0) // no PIC beside them
	for i := range cpus {
		body = le.AppendUint32(append(body, 0, 8, byte(i), byte(i)), enabled)
	}
	body = le.AppendUint32(append(body, 1, 12, 0, 0), layout.IOAPIC)
	body = le.AppendUint32(body, 0) // it serves the lines from 0 on
	return table("APIC", 5, body)
}

// image lays the tables out from address base on, the RSDP first.
func image(base uint64, m Machine) []byte {
	const align = 16
	b := make([]byte, rsdpSize)
	place := func(t []byte) (address uint64) {
		b = append(b, make([]byte, -len(b)&(align-1))...)
		address = base + uint64(len(b))
		b = append(b, t...)
		return address
	}
	fixed := place(fadt(place(table("DSDT", 2, dsdt(m.Devices)))))
	root := place(xsdt(fixed, place(madt(m.CPUs))))
	return slices.Concat(rsdp(root), b[rsdpSize:])
}
