package cpu

import (
	"encoding/binary"
	"fmt"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
)

// Model-specific registers: Intel's SDM volume 4.
const (
	msrMiscEnable  = 0x1a0
	msrMTRRDefType = 0x2ff

	miscFastStrings = 1 << 0  // REP MOVS and REP STOS copy lines; Linux looks before it uses them so
	mtrrEnable      = 1 << 11 // with no ranges set, all memory has the default type
	mtrrWriteBack   = 6
)

// Registers of the local APIC's page, and the delivery modes of its two pins: SDM volume 3, "Local APIC".
const (
	lapicLVT0 = 0x350
	lapicLVT1 = 0x360

	deliverNMI    = 4 << 8
	deliverExtINT = 7 << 8
)

// resetMSRs are those whose value after KVM's reset is not what firmware leaves behind.
var resetMSRs = []kvm.MSREntry{
	{Index: msrMiscEnable, Data: miscFastStrings},
	{Index: msrMTRRDefType, Data: mtrrEnable | mtrrWriteBack},
}

// Reset gives a new vCPU its CPUID and the state in which firmware would hand it over. All else is as KVM creates it: vCPU 0 is
// runnable, the others wait for INIT.
func Reset(v *kvm.VCPU, cpuid []kvm.CPUIDEntry2) error {
	// First: it decides which registers there are.
	if err := v.SetCPUID2(cpuid); err != nil {
		return err
	}
	n, err := v.SetMSRs(resetMSRs)
	if err != nil {
		return err
	}
	if n < len(resetMSRs) {
		return fmt.Errorf("KVM_SET_MSRS: register %#x was refused", resetMSRs[n].Index)
	}
	return wirePins(v)
}

// wirePins connects the local APIC's pins as a PC does: LINT0 to the PIC, LINT1 to the NMI line.
func wirePins(v *kvm.VCPU) error {
	lapic, err := v.GetLAPIC()
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(lapic.Regs[lapicLVT0:], deliverExtINT)
	binary.LittleEndian.PutUint32(lapic.Regs[lapicLVT1:], deliverNMI)
	return v.SetLAPIC(lapic)
}
