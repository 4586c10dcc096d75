package kvm

import (
	"golang.org/x/sys/unix"
)

// VM is one VM. It is safe for concurrent use; the kernel serialises what it must.
type VM struct {
	fd       int
	mmapSize int
	msrs     []uint32
}

// Close closes the descriptor. The VM ends when those of its vCPUs are closed too.
func (v *VM) Close() error { return unix.Close(v.fd) }

// MSRIndexList returns what KVM_GET_MSR_INDEX_LIST said when the VM was created; the caller must not change it.
func (v *VM) MSRIndexList() []uint32 { return v.msrs }

// CheckExtension is KVM_CHECK_EXTENSION for this VM.
func (v *VM) CheckExtension(c Cap) (int, error) { return ioctlInt(v.fd, kvmCheckExtension, uintptr(c)) }

// EnableCap is KVM_ENABLE_CAP for the VM.
func (v *VM) EnableCap(c Cap, args ...uint64) error {
	arg := &enableCap{Cap: uint32(c)}
	copy(arg.Args[:], args)
	return ioctl(v.fd, kvmEnableCap, arg)
}

// SetUserMemoryRegion is KVM_SET_USER_MEMORY_REGION. The mapping must stay until the VM has ended.
func (v *VM) SetUserMemoryRegion(r UserspaceMemoryRegion) error {
	return ioctl(v.fd, kvmSetUserMemoryRegion, &r)
}

// MapMemory makes data, which must be a mapping, guest memory at addr as memory slot number slot.
func (v *VM) MapMemory(slot uint32, addr uint64, data []byte) error {
	return v.SetUserMemoryRegion(UserspaceMemoryRegion{
		Slot: slot, GuestPhysAddr: addr, MemorySize: uint64(len(data)), UserspaceAddr: address(data),
	})
}

// SetTSSAddr is KVM_SET_TSS_ADDR: three pages that KVM uses on Intel CPUs; to be called before there are vCPUs.
func (v *VM) SetTSSAddr(addr uint64) error {
	_, err := ioctlInt(v.fd, kvmSetTSSAddr, uintptr(addr))
	return err
}

// SetIdentityMapAddr is KVM_SET_IDENTITY_MAP_ADDR: one more page of that kind.
func (v *VM) SetIdentityMapAddr(addr uint64) error { return ioctl(v.fd, kvmSetIdentityMapAddr, &addr) }

// CreateIRQChip is KVM_CREATE_IRQCHIP: PICs and I/O APIC, and a local APIC in each vCPU created from now on.
func (v *VM) CreateIRQChip() error {
	_, err := ioctlInt(v.fd, kvmCreateIRQChip, 0)
	return err
}

// IRQLine is KVM_IRQ_LINE: it sets the level of a pin of the I/O APIC.
func (v *VM) IRQLine(gsi uint32, high bool) error {
	arg := &irqLevel{IRQ: gsi}
	if high {
		arg.Level = 1
	}
	return ioctl(v.fd, kvmIRQLine, arg)
}

const irqfdDeassign = 1 // KVM_IRQFD_FLAG_DEASSIGN

// IRQFD is KVM_IRQFD: from now on a signal on eventfd is an edge on pin gsi.
func (v *VM) IRQFD(eventfd int, gsi uint32) error {
	return ioctl(v.fd, kvmIRQFD, &irqfd{FD: uint32(eventfd), GSI: gsi})
}

// RemoveIRQFD undoes IRQFD.
func (v *VM) RemoveIRQFD(eventfd int, gsi uint32) error {
	return ioctl(v.fd, kvmIRQFD, &irqfd{FD: uint32(eventfd), GSI: gsi, Flags: irqfdDeassign})
}

// IOEvent is a write of the guest that becomes a signal on an eventfd instead of an exit.
type IOEvent struct {
	Addr      uint64
	Port      bool   // Addr is an I/O port
	Len       uint32 // width of the write in bytes; 0 means any
	DataMatch uint64 // the value written, when Match is set
	Match     bool
}

const (
	ioeventfdDataMatch = 1 << 0 // KVM_IOEVENTFD_FLAG_*
	ioeventfdPIO       = 1 << 1
	ioeventfdDeassign  = 1 << 2
)

func (e IOEvent) arg(eventfd int) *ioeventfd {
	arg := &ioeventfd{Addr: e.Addr, Len: e.Len, FD: int32(eventfd)}
	if e.Port {
		arg.Flags |= ioeventfdPIO
	}
	if e.Match {
		arg.Flags |= ioeventfdDataMatch
		arg.DataMatch = e.DataMatch
	}
	return arg
}

// IOEventFD is KVM_IOEVENTFD: from now on e signals eventfd.
func (v *VM) IOEventFD(eventfd int, e IOEvent) error {
	return ioctl(v.fd, kvmIOEventFD, e.arg(eventfd))
}

// RemoveIOEventFD undoes IOEventFD.
func (v *VM) RemoveIOEventFD(eventfd int, e IOEvent) error {
	arg := e.arg(eventfd)
	arg.Flags |= ioeventfdDeassign
	return ioctl(v.fd, kvmIOEventFD, arg)
}

// GetIRQChip is KVM_GET_IRQCHIP: the state of the controller with the given number, IRQChipPICMaster and so on.
func (v *VM) GetIRQChip(id uint32) (IRQChip, error) {
	arg := &IRQChip{ChipID: id}
	err := ioctl(v.fd, kvmGetIRQChip, arg)
	return *arg, err
}

// SetIRQChip is KVM_SET_IRQCHIP.
func (v *VM) SetIRQChip(c IRQChip) error { return ioctl(v.fd, kvmSetIRQChip, &c) }

// GetClock is KVM_GET_CLOCK: the reading of kvmclock.
func (v *VM) GetClock() (ClockData, error) {
	arg := &ClockData{}
	err := ioctl(v.fd, kvmGetClock, arg)
	return *arg, err
}

// SetClock is KVM_SET_CLOCK.
func (v *VM) SetClock(c ClockData) error { return ioctl(v.fd, kvmSetClock, &c) }
