package acpi

import (
	"errors"

	"github.com/voidbox-run/voidbox/virtio"
)

// MaxCPUs is the number of CPUs that a machine can have.
const MaxCPUs = 16

// Machine is what the tables describe, beside what every machine has.
type Machine struct {
	CPUs    int // 1 to MaxCPUs; CPU i has the APIC ID i
	Devices int // virtio devices, in the first slots of package layout; 0 to layout.MaxDevices
}

// Load writes the tables for m into the BIOS area of guest memory and returns the address of the RSDP.
func Load(mem *virtio.Memory, m Machine) (rsdp uint64, err error) {
	return 0, errors.ErrUnsupported
}
