package cpu

import (
	"errors"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/virtio"
)

// Protocol is how a kernel wants to be entered.
type Protocol int

// Protocols.
const (
	// PVH enters an ELF kernel in 32-bit protected mode without paging, EBX at layout.StartInfo.
	PVH Protocol = iota + 1
	// Linux64 enters a bzImage at its 64-bit entry point in long mode, the first 4 GiB mapped one to one, RSI at layout.ZeroPage.
	Linux64
)

// Entry is a kernel's first instruction.
type Entry struct {
	Protocol Protocol
	Addr     uint64 // physical: PVH the address in the ELF note, Linux64 the load address plus 0x200
}

// CPUID makes the leaves of vCPU id of count out of what the host supports. The same input gives the same output, and two vCPUs
// of a VM differ in their APIC ids only.
func CPUID(supported []kvm.CPUIDEntry2, id, count int) []kvm.CPUIDEntry2 { return nil }

// Reset gives a new vCPU its CPUID and the state that a CPU has after reset, as Linux wants to find it.
func Reset(v *kvm.VCPU, cpuid []kvm.CPUIDEntry2) error { return errors.New("not implemented") }

// Tables writes what the registers of Enter point to into guest memory: the GDT, and page tables for Linux64.
func (e Entry) Tables(mem *virtio.Memory) error { return errors.New("not implemented") }

// Enter puts the vCPU at the kernel's first instruction.
func (e Entry) Enter(v *kvm.VCPU) error { return errors.New("not implemented") }
