package acpi

import (
	"fmt"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
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
	if m.CPUs < 1 || m.CPUs > MaxCPUs {
		return 0, fmt.Errorf("acpi: %d CPUs; 1 to %d are possible", m.CPUs, MaxCPUs)
	}
	if m.Devices < 0 || m.Devices > layout.MaxDevices {
		return 0, fmt.Errorf("acpi: %d virtio devices; at most %d are possible", m.Devices, layout.MaxDevices)
	}
	if err := mem.WriteAt(image(layout.BIOSArea, m), layout.BIOSArea); err != nil {
		return 0, fmt.Errorf("acpi: write the tables: %w", err)
	}
	return layout.BIOSArea, nil
}
