package kvm

import (
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// VCPU is one vCPU. KVM_RUN holds it, and any other request waits until it returns: stop the vCPU first.
type VCPU struct {
	fd   int
	id   int
	page RunPage
}

// CreateVCPU is KVM_CREATE_VCPU. The id is the vCPU's APIC id. The caller closes it.
func (v *VM) CreateVCPU(id int) (*VCPU, error) {
	fd, err := ioctlInt(v.fd, kvmCreateVCPU, uintptr(id))
	if err != nil {
		return nil, err
	}
	shared, err := unix.Mmap(fd, 0, v.mmapSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("map the run page of vCPU %d: %w", id, err)
	}
	page, err := NewRunPage(shared)
	if err != nil {
		_ = unix.Munmap(shared)
		_ = unix.Close(fd)
		return nil, err
	}
	return &VCPU{fd: fd, id: id, page: page}, nil
}

// Close unmaps the run page and closes the descriptor. Nobody may run the vCPU any more.
func (c *VCPU) Close() error {
	_ = unix.Munmap(c.page.shared)
	return unix.Close(c.fd)
}

// ID returns what CreateVCPU was given.
func (c *VCPU) ID() int { return c.id }

// RunPage returns what the vCPU shares with the kernel, valid until Close.
func (c *VCPU) RunPage() RunPage { return c.page }

// Run is KVM_RUN. 0 means an exit, to be found in the run page; EINTR a signal or RunPage.SetImmediateExit; EAGAIN that a vCPU
// without work has got some. Run allocates nothing, hence the bare errno.
func (c *VCPU) Run() syscall.Errno { return run(c.fd) }

// GetRegs is KVM_GET_REGS.
func (c *VCPU) GetRegs() (Regs, error) { return get[Regs](c.fd, kvmGetRegs) }

// SetRegs is KVM_SET_REGS.
func (c *VCPU) SetRegs(r Regs) error { return ioctl(c.fd, kvmSetRegs, &r) }

// GetSregs is KVM_GET_SREGS.
func (c *VCPU) GetSregs() (Sregs, error) { return get[Sregs](c.fd, kvmGetSregs) }

// SetSregs is KVM_SET_SREGS.
func (c *VCPU) SetSregs(s Sregs) error { return ioctl(c.fd, kvmSetSregs, &s) }

// GetXCRS is KVM_GET_XCRS.
func (c *VCPU) GetXCRS() (XCRS, error) { return get[XCRS](c.fd, kvmGetXCRS) }

// SetXCRS is KVM_SET_XCRS.
func (c *VCPU) SetXCRS(x XCRS) error { return ioctl(c.fd, kvmSetXCRS, &x) }

// GetDebugRegs is KVM_GET_DEBUGREGS.
func (c *VCPU) GetDebugRegs() (DebugRegs, error) { return get[DebugRegs](c.fd, kvmGetDebugRegs) }

// SetDebugRegs is KVM_SET_DEBUGREGS.
func (c *VCPU) SetDebugRegs(d DebugRegs) error { return ioctl(c.fd, kvmSetDebugRegs, &d) }

// GetLAPIC is KVM_GET_LAPIC.
func (c *VCPU) GetLAPIC() (LAPICState, error) { return get[LAPICState](c.fd, kvmGetLAPIC) }

// SetLAPIC is KVM_SET_LAPIC.
func (c *VCPU) SetLAPIC(l LAPICState) error { return ioctl(c.fd, kvmSetLAPIC, &l) }

// GetMPState is KVM_GET_MP_STATE.
func (c *VCPU) GetMPState() (MPState, error) {
	s, err := get[mpState](c.fd, kvmGetMPState)
	return s.MPState, err
}

// SetMPState is KVM_SET_MP_STATE.
func (c *VCPU) SetMPState(s MPState) error { return ioctl(c.fd, kvmSetMPState, &mpState{s}) }

// GetVCPUEvents is KVM_GET_VCPU_EVENTS.
func (c *VCPU) GetVCPUEvents() (VCPUEvents, error) { return get[VCPUEvents](c.fd, kvmGetVCPUEvents) }

// SetVCPUEvents is KVM_SET_VCPU_EVENTS.
func (c *VCPU) SetVCPUEvents(e VCPUEvents) error { return ioctl(c.fd, kvmSetVCPUEvents, &e) }

// Translate is KVM_TRANSLATE: the physical address behind a linear one, and whether there is one.
func (c *VCPU) Translate(linear uint64) (physical uint64, ok bool, err error) {
	arg := &Translation{LinearAddress: linear}
	err = ioctl(c.fd, kvmTranslate, arg)
	return arg.PhysicalAddress, arg.Valid != 0, err
}

// KVMClockCtrl is KVM_KVMCLOCK_CTRL: it tells the guest that it was paused, so that its watchdogs do not bark. EINVAL means that
// the guest does not use kvmclock.
func (c *VCPU) KVMClockCtrl() error {
	_, err := ioctlInt(c.fd, kvmKVMClockCtrl, 0)
	return err
}

// GetTSCKHz is KVM_GET_TSC_KHZ.
func (c *VCPU) GetTSCKHz() (int, error) { return ioctlInt(c.fd, kvmGetTSCKHz, 0) }

// SetTSCKHz is KVM_SET_TSC_KHZ.
func (c *VCPU) SetTSCKHz(khz int) error {
	_, err := ioctlInt(c.fd, kvmSetTSCKHz, uintptr(khz))
	return err
}

// GetCPUID2 is KVM_GET_CPUID2.
func (c *VCPU) GetCPUID2() ([]CPUIDEntry2, error) {
	arg := &cpuid2{header: header{Count: maxCPUIDEntries}}
	if err := ioctl(c.fd, kvmGetCPUID2, arg); err != nil {
		return nil, err
	}
	// Kernels before 6.9 leave the count as it was. No leaf is all zeroes: leaf 0 has the number of the highest.
	entries := arg.Entries[:min(arg.Count, maxCPUIDEntries)]
	for len(entries) > 0 && entries[len(entries)-1] == (CPUIDEntry2{}) {
		entries = entries[:len(entries)-1]
	}
	return slices.Clone(entries), nil
}

// SetCPUID2 is KVM_SET_CPUID2.
func (c *VCPU) SetCPUID2(entries []CPUIDEntry2) error {
	arg := &cpuid2{header: header{Count: uint32(len(entries))}}
	if len(entries) > len(arg.Entries) {
		return fmt.Errorf("KVM_SET_CPUID2: %d entries, at most %d are possible", len(entries), len(arg.Entries))
	}
	copy(arg.Entries[:], entries)
	return ioctl(c.fd, kvmSetCPUID2, arg)
}

func get[T any](fd int, req request) (T, error) {
	arg := new(T)
	err := ioctl(fd, req, arg)
	return *arg, err
}
