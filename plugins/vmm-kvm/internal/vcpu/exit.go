package vcpu

import (
	"syscall"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
)

// exit handles what KVM_RUN has returned for, and reports whether the vCPU has ended.
func (t *thread) exit() (outcome, bool) {
	reason := t.page.ExitReason()
	t.exits.count(reason)
	switch reason {
	case kvm.ExitMMIO:
		return t.mmioExit()
	case kvm.ExitIO:
		return t.ioExit()
	case kvm.ExitIntr:
		return outcome{}, false
	case kvm.ExitHLT:
		// A local APIC in the kernel keeps a halted vCPU there. One without cannot be woken.
		return outcome{end: Halted}, true
	case kvm.ExitSystemEvent:
		return t.systemEvent(), true
	}
	return t.exitFailed(reason), true
}

func (t *thread) mmioExit() (outcome, bool) {
	access, err := t.page.MMIO()
	if err != nil {
		return failed(ReasonRun, err, "vCPU %d: %v", t.id, err), true
	}
	if access.Write {
		t.mmio.Write(access.Addr, access.Data)
	} else {
		t.mmio.Read(access.Addr, access.Data)
	}
	return outcome{}, false
}

// ioExit handles an access to a port. INS and OUTS with a prefix move several items, all of them through the same port.
func (t *thread) ioExit() (outcome, bool) {
	access, err := t.page.IO()
	if err != nil {
		return failed(ReasonRun, err, "vCPU %d: %v", t.id, err), true
	}
	for at := 0; at < len(access.Data); at += access.Size {
		item := access.Data[at : at+access.Size : at+access.Size]
		if access.Out {
			t.pio.Write(uint64(access.Port), item)
		} else {
			t.pio.Read(uint64(access.Port), item)
		}
	}
	return outcome{}, false
}

func (t *thread) systemEvent() outcome {
	switch event := t.page.SystemEvent(); event {
	case kvm.SystemEventShutdown:
		return outcome{end: Shutdown}
	case kvm.SystemEventReset:
		return outcome{end: ResetWanted}
	case kvm.SystemEventCrash:
		return outcome{end: Crashed}
	default:
		return failed(ReasonUnknown, nil, "vCPU %d: KVM reports system event %d, which we do not know", t.id, event)
	}
}

// exitFailed describes an exit after which there is no way on.
func (t *thread) exitFailed(reason kvm.ExitReason) outcome {
	switch reason {
	case kvm.ExitShutdown:
		return failed(ReasonShutdown, nil, "vCPU %d shut down: an exception while it delivered a double fault (triple fault)", t.id)
	case kvm.ExitInternalError:
		suberror, data := t.page.InternalError()
		return failed(ReasonInternalError, nil, "vCPU %d: KVM gave up: %s; data %#x", t.id, suberrorText(suberror), data)
	case kvm.ExitFailEntry:
		hardware, cpu := t.page.FailEntry()
		return failed(ReasonFailEntry, nil, "vCPU %d: the CPU refused to enter the guest: hardware reason %#x, on host CPU %d",
			t.id, hardware, cpu)
	case kvm.ExitUnknown:
		return failed(ReasonUnknown, nil, "vCPU %d left the guest for a reason that KVM does not know: hardware reason %#x",
			t.id, t.page.HardwareExitReason())
	}
	return failed(ReasonUnknown, nil, "vCPU %d left the guest for a reason that we do not know: KVM_EXIT_%d (%s)",
		t.id, uint32(reason), reason)
}

// runFailed describes a KVM_RUN that returned an error.
func (t *thread) runFailed(errno syscall.Errno) outcome {
	if errno == syscall.EFAULT && t.page.ExitReason() == kvm.ExitMemoryFault {
		addr, size := t.page.MemoryFault()
		return failed(ReasonMemory, errno, "vCPU %d: guest memory at %#x, %#x bytes, cannot be had: %v", t.id, addr, size, errno)
	}
	if errno == syscall.EFAULT {
		return failed(ReasonMemory, errno, "vCPU %d: guest memory cannot be had: %v", t.id, errno)
	}
	return failed(ReasonRun, errno, "vCPU %d: KVM_RUN: %v", t.id, errno)
}

// suberrorText names KVM_INTERNAL_ERROR_*.
func suberrorText(suberror uint32) string {
	switch suberror {
	case 1:
		return "it could not emulate an instruction"
	case 2:
		return "exceptions at the same time (simultaneous exceptions)"
	case 3:
		return "an exit while it delivered an event"
	case 4:
		return "an exit reason that it did not expect"
	}
	return "an internal error that we do not know"
}
