package cpu

import (
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
)

// Protocol is how a kernel wants to be entered.
type Protocol int

// Protocols.
const (
	// PVH enters an ELF kernel in 32-bit protected mode without paging, EBX at layout.StartInfo: Xen's "x86/HVM direct boot ABI".
	PVH Protocol = iota + 1
	// Linux64 enters a bzImage in long mode, the first 4 GiB mapped one to one, RSI at layout.ZeroPage: "64-bit boot protocol" in
	// Documentation/arch/x86/boot.rst.
	Linux64
)

// Entry is a kernel's first instruction.
type Entry struct {
	Protocol Protocol
	Addr     uint64 // physical: PVH the address in the ELF note, Linux64 the load address plus 0x200
}

// Bits of control registers.
const (
	cr0PE = 1 << 0  // protected mode
	cr0ET = 1 << 4  // always 1
	cr0PG = 1 << 31 // paging

	cr4PAE = 1 << 5

	eferLME = 1 << 8  // long mode enabled
	eferLMA = 1 << 10 // and active

	rflagsReserved = 1 << 1 // always 1; interrupts are off
)

// Selectors of the GDT that Tables writes: boot.rst prescribes the first two.
const (
	bootCS = 0x10
	bootDS = 0x18
	bootTR = 0x20
)

// Enter puts a vCPU that is new at the kernel's first instruction.
func (e Entry) Enter(v *kvm.VCPU) error {
	sregs, err := v.GetSregs()
	if err != nil {
		return err
	}
	e.setSregs(&sregs)
	if err := v.SetSregs(sregs); err != nil {
		return err
	}
	return v.SetRegs(e.regs())
}

// regs returns the general registers: where the kernel is and where it finds out about its machine.
func (e Entry) regs() kvm.Regs {
	r := kvm.Regs{RIP: e.Addr, RFLAGS: rflagsReserved}
	switch e.Protocol {
	case PVH:
		r.RBX = layout.StartInfo
	case Linux64:
		r.RSI = layout.ZeroPage
		r.RSP, r.RBP = layout.Stack, layout.Stack
	}
	return r
}

// setSregs changes the special registers from what they are after reset.
func (e Entry) setSregs(s *kvm.Sregs) {
	s.CS = flatSegment(bootCS, typeCode)
	s.SS = flatSegment(bootDS, typeData)
	s.DS, s.ES, s.FS, s.GS = s.SS, s.SS, s.SS, s.SS
	s.TR = kvm.Segment{Selector: bootTR, Limit: taskLimit, Type: typeBusyTSS, Present: 1}
	s.GDT = kvm.DTable{Base: layout.GDT, Limit: gdtSize - 1}
	s.IDT = kvm.DTable{} // an exception before the kernel has its own ends in a triple fault, which says so
	s.CR0, s.CR4, s.EFER = cr0PE|cr0ET, 0, 0
	if e.Protocol == Linux64 {
		s.CS.DB, s.CS.L = 0, 1
		s.CR0 |= cr0PG
		s.CR3 = layout.PageTables
		s.CR4 = cr4PAE
		s.EFER = eferLME | eferLMA
	}
}

// Types of segments: SDM volume 3, "Segment descriptor types".
const (
	typeData    = 0x3 // read and write, accessed
	typeCode    = 0xb // execute and read, accessed
	typeBusyTSS = 0xb // of a system segment

	taskLimit = 0x67 // a TSS without I/O map, as PVH demands
)

// flatSegment is a segment of 32 bits that covers all 4 GiB.
func flatSegment(selector uint16, kind uint8) kvm.Segment {
	return kvm.Segment{Selector: selector, Limit: 0xffffffff, Type: kind, Present: 1, DB: 1, S: 1, G: 1}
}
