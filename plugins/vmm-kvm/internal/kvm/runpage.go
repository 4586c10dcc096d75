package kvm

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
)

// ExitReason says why KVM_RUN returned.
type ExitReason uint32

// Exit reasons: KVM_EXIT_*.
const (
	ExitUnknown       ExitReason = 0
	ExitException     ExitReason = 1
	ExitIO            ExitReason = 2
	ExitHypercall     ExitReason = 3
	ExitDebug         ExitReason = 4
	ExitHLT           ExitReason = 5
	ExitMMIO          ExitReason = 6
	ExitIRQWindowOpen ExitReason = 7
	ExitShutdown      ExitReason = 8
	ExitFailEntry     ExitReason = 9
	ExitIntr          ExitReason = 10
	ExitInternalError ExitReason = 17
	ExitSystemEvent   ExitReason = 24
	ExitX86BusLock    ExitReason = 33
	ExitNotify        ExitReason = 37
	ExitMemoryFault   ExitReason = 39
)

var exitNames = map[ExitReason]string{
	ExitUnknown: "unknown", ExitException: "exception", ExitIO: "io", ExitHypercall: "hypercall", ExitDebug: "debug",
	ExitHLT: "hlt", ExitMMIO: "mmio", ExitIRQWindowOpen: "irq_window_open", ExitShutdown: "shutdown",
	ExitFailEntry: "fail_entry", ExitIntr: "intr", ExitInternalError: "internal_error", ExitSystemEvent: "system_event",
	ExitX86BusLock: "x86_bus_lock", ExitNotify: "notify", ExitMemoryFault: "memory_fault",
}

// String returns the name after KVM_EXIT_, in lower case, or the number.
func (r ExitReason) String() string {
	if name := exitNames[r]; name != "" {
		return name
	}
	return fmt.Sprintf("exit_%d", uint32(r))
}

// Where struct kvm_run has its fields. The union of exit details begins at runUnion.
const (
	runImmediateExit = 1
	runExitReason    = 8
	runUnion         = 32

	ioDirection, ioSize, ioPort, ioCount, ioDataOffset = runUnion, runUnion + 1, runUnion + 2, runUnion + 4, runUnion + 8

	mmioPhysAddr, mmioData, mmioLen, mmioIsWrite = runUnion, runUnion + 8, runUnion + 16, runUnion + 20

	failEntryReason, failEntryCPU                                 = runUnion, runUnion + 8
	internalSuberror, internalNData, internalData, maxInternal    = runUnion, runUnion + 4, runUnion + 8, 16
	systemEventType                                               = runUnion
	hardwareExitReason                                            = runUnion
	memoryFaultFlags, memoryFaultGPA, memoryFaultSize, runMinimum = runUnion, runUnion + 8, runUnion + 16, 4096
)

// RunPage is struct kvm_run with the I/O data behind it: what a vCPU shares with the kernel.
type RunPage struct{ shared []byte }

// NewRunPage makes a run page of shared: the mapping of a vCPU, or plain memory that a test plays the kernel on.
func NewRunPage(shared []byte) (RunPage, error) {
	if len(shared) < runMinimum || address(shared)%4 != 0 {
		return RunPage{}, fmt.Errorf("a run page of %d bytes is too small or not aligned", len(shared))
	}
	return RunPage{shared}, nil
}

// SetImmediateExit makes KVM_RUN, now or when it is called next, finish the I/O that is pending and return EINTR. A thread in the
// guest needs a signal beside it. Any thread may call it.
//
// The field is a byte whose neighbours in the same word, request_interrupt_window and padding, are always 0 with us.
func (p RunPage) SetImmediateExit() { atomic.StoreUint32(word(p.shared), 1<<(8*runImmediateExit)) }

// ClearImmediateExit takes it back. Only the vCPU's thread may, or a request could be lost.
func (p RunPage) ClearImmediateExit() { atomic.StoreUint32(word(p.shared), 0) }

// ImmediateExit tells whether it is set.
func (p RunPage) ImmediateExit() bool { return atomic.LoadUint32(word(p.shared)) != 0 }

// ExitReason returns why KVM_RUN returned.
func (p RunPage) ExitReason() ExitReason { return ExitReason(p.u32(runExitReason)) }

// IO is an access to I/O ports (ExitIO): Count items of Size bytes, one after the other in Data. An IN expects its result there.
type IO struct {
	Out  bool
	Port uint16
	Size int
	Data []byte
}

// IO returns the details of an ExitIO. Data lies in the run page.
func (p RunPage) IO() (IO, error) {
	size, count, offset := int(p.shared[ioSize]), uint64(p.u32(ioCount)), p.u64(ioDataOffset)
	n := uint64(size) * count
	if size == 0 || offset > uint64(len(p.shared)) || n > uint64(len(p.shared))-offset {
		return IO{}, fmt.Errorf("KVM_EXIT_IO with %d items of %d bytes at %#x of the run page", count, size, offset)
	}
	return IO{
		Out: p.shared[ioDirection] != 0, Port: binary.LittleEndian.Uint16(p.shared[ioPort:]), Size: size,
		Data: p.shared[offset : offset+n : offset+n],
	}, nil
}

// MMIO is an access to an address without memory (ExitMMIO). A read expects its result in Data.
type MMIO struct {
	Write bool
	Addr  uint64
	Data  []byte
}

// MMIO returns the details of an ExitMMIO. Data, of 1 to 8 bytes, lies in the run page.
func (p RunPage) MMIO() (MMIO, error) {
	n := p.u32(mmioLen)
	if n == 0 || n > 8 {
		return MMIO{}, fmt.Errorf("KVM_EXIT_MMIO with %d bytes", n)
	}
	return MMIO{
		Write: p.shared[mmioIsWrite] != 0, Addr: p.u64(mmioPhysAddr), Data: p.shared[mmioData : mmioData+n : mmioData+n],
	}, nil
}

// FailEntry returns the details of an ExitFailEntry: the CPU's reason, and the host CPU that it happened on.
func (p RunPage) FailEntry() (reason uint64, cpu uint32) {
	return p.u64(failEntryReason), p.u32(failEntryCPU)
}

// HardwareExitReason returns the details of an ExitUnknown.
func (p RunPage) HardwareExitReason() uint64 { return p.u64(hardwareExitReason) }

// InternalError returns the details of an ExitInternalError: KVM_INTERNAL_ERROR_* and data that only KVM's authors understand.
func (p RunPage) InternalError() (suberror uint32, data []uint64) {
	for i := range min(p.u32(internalNData), maxInternal) {
		data = append(data, p.u64(internalData+int(i)*8))
	}
	return p.u32(internalSuberror), data
}

// MemoryFault returns the details of an ExitMemoryFault: the guest address that memory could not be had for.
func (p RunPage) MemoryFault() (addr, size uint64) {
	return p.u64(memoryFaultGPA), p.u64(memoryFaultSize)
}

// SystemEvent says what a guest asked for with an ExitSystemEvent: KVM_SYSTEM_EVENT_*.
type SystemEvent uint32

// System events.
const (
	SystemEventShutdown SystemEvent = 1
	SystemEventReset    SystemEvent = 2
	SystemEventCrash    SystemEvent = 3
)

// SystemEvent returns the details of an ExitSystemEvent.
func (p RunPage) SystemEvent() SystemEvent { return SystemEvent(p.u32(systemEventType)) }

func (p RunPage) u32(at int) uint32 { return binary.LittleEndian.Uint32(p.shared[at:]) }
func (p RunPage) u64(at int) uint64 { return binary.LittleEndian.Uint64(p.shared[at:]) }
