package vcpu

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/bus"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/virtio"
)

// kickSignal interrupts KVM_RUN. It is the signal by which Go's scheduler preempts threads, so it is sure to have a handler, and
// one that ignores signals it did not ask for. A real-time signal would do too, but can be refused: each one that is pending
// takes a place in a queue that all processes of the user share (RLIMIT_SIGPENDING).
const kickSignal = unix.SIGURG

// thread is one vCPU and the thread that runs it.
type thread struct {
	id   int
	run  func() syscall.Errno // KVM_RUN
	page kvm.RunPage
	mmio *bus.Bus
	pio  *bus.Bus
	gate *gate

	tid   atomic.Int32 // 0: not launched yet
	exits counters
}

// outcome is how a thread ended.
type outcome struct {
	end    End
	reason string // of a failure
	detail string
	cause  error
}

func failed(reason string, cause error, format string, args ...any) outcome {
	return outcome{end: Failed, reason: reason, detail: fmt.Sprintf(format, args...), cause: cause}
}

// main is all that the thread does. It never unlocks the thread, which Go therefore ends with the goroutine: a seccomp filter that
// onThread has installed must not outlive its purpose.
func (t *thread) main(onThread func(id int) error) outcome {
	runtime.LockOSThread()
	// Whoever started this process may have blocked the signal.
	if err := unblock(kickSignal); err != nil {
		return failed(ReasonThread, err, "unblock the signal that interrupts vCPU %d: %v", t.id, err)
	}
	t.tid.Store(int32(unix.Gettid()))
	if onThread != nil {
		if err := onThread(t.id); err != nil {
			return failed(ReasonThread, err, "prepare the thread of vCPU %d: %v", t.id, err)
		}
	}
	if !t.gate.pass() {
		return outcome{end: Stopped}
	}
	var out outcome
	// Device models touch guest memory from here when the guest writes to their registers.
	if err := virtio.Protect(func() { out = t.loop() }); err != nil {
		return failed(ReasonMemory, err, "vCPU %d: %v", t.id, err)
	}
	return out
}

func unblock(signal syscall.Signal) error {
	var set unix.Sigset_t
	set.Val[(signal-1)/64] = 1 << ((signal - 1) % 64)
	return unix.PthreadSigmask(unix.SIG_UNBLOCK, &set, nil)
}

// loop runs the guest until the vCPU ends. Nothing in it allocates as long as the guest goes on.
func (t *thread) loop() outcome {
	for {
		switch errno := t.run(); errno {
		case 0:
			if out, ended := t.exit(); ended {
				return out
			}
		case unix.EINTR, unix.EAGAIN:
			// All I/O is completed: KVM does that before it looks at immediate_exit and at signals. EAGAIN is a vCPU that was
			// waiting to be started by another.
			t.exits.interrupted.Add(1)
			t.page.ClearImmediateExit()
			if !t.gate.pass() {
				return outcome{end: Stopped}
			}
		default:
			return t.runFailed(errno)
		}
	}
}

// kick makes the thread come to the gate soon. Any thread may call it, this one included.
func (t *thread) kick() {
	t.page.SetImmediateExit()
	if tid := t.tid.Load(); tid != 0 {
		// A thread that has ended meanwhile needs no kick.
		_ = unix.Tgkill(os.Getpid(), int(tid), kickSignal)
	}
}
