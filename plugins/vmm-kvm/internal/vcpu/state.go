package vcpu

import (
	"fmt"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/virtio"
)

// stateVersion changes with the meaning or the shape of savedState.
const stateVersion = 1

// savedState is all that KVM knows of a VM but its memory.
type savedState struct {
	TSCKHz int
	VCPUs  []savedVCPU
	Chips  []kvm.IRQChip
	Clock  uint64 // kvmclock, in nanoseconds
}

// chips are the interrupt controllers outside of vCPUs.
var chips = []uint32{kvm.IRQChipPICMaster, kvm.IRQChipPICSlave, kvm.IRQChipIOAPIC}

// maxTSCDeviation is how far apart two hosts may be for a guest to keep its idea of the TSC's frequency, in parts per million: what
// NTP can make good.
const maxTSCDeviation = 250

// maxTSCKHz is more than any TSC does, and leaves room to calculate.
const maxTSCKHz = 100_000_000

// Save returns the versioned state of a paused set: vCPUs, interrupt controllers and clock.
func (s *Set) Save() ([]byte, error) {
	s.control.Lock()
	defer s.control.Unlock()
	if err := s.still(); err != nil {
		return nil, err
	}
	size, err := s.cfg.VM.XSAVESize()
	if err != nil {
		return nil, err
	}
	var state savedState
	if state.TSCKHz, err = s.vcpus[0].GetTSCKHz(); err != nil {
		return nil, err
	}
	for _, v := range s.vcpus {
		saved, err := saveVCPU(v, s.cfg.VM.MSRIndexList(), size)
		if err != nil {
			return nil, fmt.Errorf("save vCPU %d: %w", v.ID(), err)
		}
		state.VCPUs = append(state.VCPUs, saved)
	}
	for _, id := range chips {
		chip, err := s.cfg.VM.GetIRQChip(id)
		if err != nil {
			return nil, err
		}
		state.Chips = append(state.Chips, chip)
	}
	clock, err := s.cfg.VM.GetClock()
	if err != nil {
		return nil, err
	}
	state.Clock = clock.Clock
	return virtio.EncodeState(stateVersion, state)
}

// Load takes a state over, in place of cpu.Reset and Entry.Enter, before Launch or while paused. The bytes may be hostile. After an
// error the set is good for nothing but Close.
func (s *Set) Load(state []byte) error {
	s.control.Lock()
	defer s.control.Unlock()
	if err := s.still(); err != nil {
		return err
	}
	var saved savedState
	if err := virtio.DecodeState(state, stateVersion, &saved); err != nil {
		return err
	}
	if err := saved.check(len(s.vcpus)); err != nil {
		return fmt.Errorf("%w: %w", virtio.ErrState, err)
	}
	if err := s.matchTSC(saved.TSCKHz); err != nil {
		return err
	}
	size, err := s.cfg.VM.XSAVESize()
	if err != nil {
		return err
	}
	for i, v := range s.vcpus {
		if err := saved.VCPUs[i].load(v, size); err != nil {
			return fmt.Errorf("%w: vCPU %d: %w", virtio.ErrState, i, err)
		}
	}
	// After the local APICs: what is pending at the I/O APIC goes on to them.
	for _, chip := range saved.Chips {
		if err := s.cfg.VM.SetIRQChip(chip); err != nil {
			return fmt.Errorf("%w: %w", virtio.ErrState, err)
		}
	}
	if err := s.cfg.VM.SetClock(kvm.ClockData{Clock: saved.Clock}); err != nil {
		return fmt.Errorf("%w: %w", virtio.ErrState, err)
	}
	s.excusePause()
	return nil
}

// still returns nil as long as nobody runs the vCPUs or can let them run: control is held.
func (s *Set) still() error {
	switch {
	case s.closed:
		return ErrEnded
	case s.launched && !s.gate.paused(len(s.threads)):
		return ErrNotPaused
	}
	return nil
}

func (saved *savedState) check(vcpus int) error {
	if saved.TSCKHz < 0 || saved.TSCKHz > maxTSCKHz {
		return fmt.Errorf("its TSC runs at %d kHz", saved.TSCKHz)
	}
	if len(saved.VCPUs) != vcpus {
		return fmt.Errorf("it has %d vCPUs, and this VM has %d", len(saved.VCPUs), vcpus)
	}
	if len(saved.Chips) != len(chips) {
		return fmt.Errorf("it has %d interrupt controllers, want %d", len(saved.Chips), len(chips))
	}
	for i, chip := range saved.Chips {
		if chip.ChipID != chips[i] {
			return fmt.Errorf("interrupt controller %d has the number %d", i, chip.ChipID)
		}
	}
	return nil
}

// matchTSC makes the guest's TSC run at the frequency that the guest has measured, unless this host's is close enough.
func (s *Set) matchTSC(khz int) error {
	host, err := s.vcpus[0].GetTSCKHz()
	if err != nil {
		return err
	}
	deviation := max(host-khz, khz-host)
	if khz <= 0 || int64(deviation)*1e6 <= int64(host)*maxTSCDeviation {
		return nil
	}
	for _, v := range s.vcpus {
		if err := v.SetTSCKHz(khz); err != nil {
			return fmt.Errorf("the guest's TSC runs at %d kHz, this host's at %d, and it cannot be scaled: %w", khz, host, err)
		}
	}
	return nil
}
