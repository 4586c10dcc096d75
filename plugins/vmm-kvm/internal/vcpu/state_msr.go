package vcpu

import (
	"fmt"
	"slices"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
)

// Registers with a place in the order: Intel's SDM volume 4.
const (
	msrTSC         = 0x10
	msrTSCDeadline = 0x6e0

	// Hyper-V's registers mean nothing to a guest that was not told of Hyper-V, and some are clocks.
	msrHyperV    = 0x40000000
	msrHyperVEnd = 0x40000200
)

// moreMSRs make up a vCPU's state too, but kernels do not list all of them: MTRRs and the banks of machine checks.
var moreMSRs = func() []uint32 {
	list := []uint32{0x250, 0x258, 0x259, 0x2ff}
	add := func(first, n uint32) {
		for i := range n {
			list = append(list, first+i)
		}
	}
	add(0x200, 16)  // MTRRs of variable ranges
	add(0x268, 8)   // of fixed ranges of 4 KiB
	add(0x400, 4*8) // eight banks are more than Linux sees in a VM
	return list
}()

// maxMSRs bounds how many registers a saved state may have.
const maxMSRs = 2048

// orderMSRs returns all registers to save, in the order in which they are to be written.
func orderMSRs(listed []uint32) []uint32 {
	list := append(slices.Clone(listed), moreMSRs...)
	slices.Sort(list)
	list = slices.Compact(list)
	list = slices.DeleteFunc(list, func(index uint32) bool {
		return index == msrTSC || index == msrTSCDeadline || index >= msrHyperV && index < msrHyperVEnd
	})
	return append(append([]uint32{msrTSC}, list...), msrTSCDeadline)
}

// saveMSRs reads those of the listed registers that this vCPU has.
func saveMSRs(v *kvm.VCPU, listed []uint32) ([]kvm.MSREntry, error) {
	var saved []kvm.MSREntry
	left := make([]kvm.MSREntry, 0, len(listed)+len(moreMSRs))
	for _, index := range orderMSRs(listed) {
		left = append(left, kvm.MSREntry{Index: index})
	}
	for len(left) > 0 {
		n, err := v.GetMSRs(left)
		if err != nil {
			return nil, err
		}
		saved = append(saved, left[:n]...)
		left = left[min(n+1, len(left)):]
	}
	keepTimer(saved)
	return saved, nil
}

// keepTimer mends a deadline that has just expired: KVM clears it then, and remembers only outside of registers that the interrupt
// is still to come. A deadline that is now makes the timer fire after the load. Where nothing was pending, the guest gets one
// interrupt for nothing; where its timer is in another mode, KVM ignores the register.
func keepTimer(saved []kvm.MSREntry) {
	last := len(saved) - 1
	if last > 0 && saved[0].Index == msrTSC && saved[last].Index == msrTSCDeadline && saved[last].Data == 0 {
		saved[last].Data = saved[0].Data
	}
}

// loadMSRs writes registers in the order given. One that refuses the value which it has is content: some are read-only.
func loadMSRs(v *kvm.VCPU, saved []kvm.MSREntry) error {
	if len(saved) > maxMSRs {
		return fmt.Errorf("%d MSRs, at most %d are possible", len(saved), maxMSRs)
	}
	for len(saved) > 0 {
		n, err := v.SetMSRs(saved)
		if err != nil {
			return err
		}
		if n == len(saved) {
			return nil
		}
		now := []kvm.MSREntry{{Index: saved[n].Index}}
		if got, err := v.GetMSRs(now); err != nil || got != 1 || now[0].Data != saved[n].Data {
			return fmt.Errorf("MSR %#x refuses the value %#x", saved[n].Index, saved[n].Data)
		}
		saved = saved[n+1:]
	}
	return nil
}
