package vcpu

import (
	"fmt"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
)

// savedVCPU is the state of one vCPU.
type savedVCPU struct {
	CPUID     []kvm.CPUIDEntry2
	MPState   kvm.MPState
	Regs      kvm.Regs
	Sregs     kvm.Sregs
	XCRS      kvm.XCRS
	XSAVE     []byte
	DebugRegs kvm.DebugRegs
	LAPIC     kvm.LAPICState
	MSRs      []kvm.MSREntry
	Events    kvm.VCPUEvents
}

func saveVCPU(v *kvm.VCPU, msrs []uint32, xsaveSize int) (saved savedVCPU, err error) {
	for _, step := range []func() error{
		// Kernels of 6.13 and later hide registers from a vCPU whose CPUID was never set, so it comes first, here as in load. Next
		// is MP_STATE: asking for it makes KVM settle INIT and SIPI that are pending.
		func() (err error) { saved.CPUID, err = v.GetCPUID2(); return },
		func() (err error) { saved.MPState, err = v.GetMPState(); return },
		func() (err error) { saved.Regs, err = v.GetRegs(); return },
		func() (err error) { saved.Sregs, err = v.GetSregs(); return },
		func() (err error) { saved.XCRS, err = v.GetXCRS(); return },
		func() (err error) { saved.XSAVE, err = v.GetXSAVE(xsaveSize); return },
		func() (err error) { saved.DebugRegs, err = v.GetDebugRegs(); return },
		func() (err error) { saved.LAPIC, err = v.GetLAPIC(); return },
		func() (err error) { saved.MSRs, err = saveMSRs(v, msrs); return },
		func() (err error) { saved.Events, err = v.GetVCPUEvents(); return },
	} {
		if err = step(); err != nil {
			return saved, err
		}
	}
	return saved, nil
}

// load puts the state into a vCPU. The order matters: CPUID decides which registers there are; SREGS has the base of the local
// APIC and precedes it; XCR0 says what XSAVE may hold; a TSC deadline is only taken once the timer is in that mode and the TSC is
// set; what is in flight comes last, since writing registers can touch it.
func (saved *savedVCPU) load(v *kvm.VCPU, xsaveSize int) error {
	xsave, err := fitXSAVE(saved.XSAVE, xsaveSize)
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return v.SetCPUID2(saved.CPUID) },
		func() error { return v.SetMPState(saved.MPState) },
		func() error { return v.SetRegs(saved.Regs) },
		func() error { return v.SetSregs(saved.Sregs) },
		func() error { return v.SetXCRS(saved.XCRS) },
		func() error { return v.SetXSAVE(xsave, xsaveSize) },
		func() error { return v.SetDebugRegs(saved.DebugRegs) },
		func() error { return v.SetLAPIC(saved.LAPIC) },
		func() error { return loadMSRs(v, saved.MSRs) },
		func() error { return v.SetVCPUEvents(saved.Events) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// fitXSAVE makes state as long as this host wants it: components that only one host has lie at the end.
func fitXSAVE(state []byte, size int) ([]byte, error) {
	if len(state) > size {
		return nil, fmt.Errorf("%d bytes of extended state, this host has room for %d", len(state), size)
	}
	fitted := make([]byte, size)
	copy(fitted, state)
	return fitted, nil
}
