package vcpu

import (
	"context"
	"errors"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/bus"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/virtio"
)

// Config is what a set is made of.
type Config struct {
	VM     *kvm.VM // with its interrupt controllers
	Count  int     // of vCPUs; their ids, and APIC ids, are 0 to Count-1
	Memory *virtio.Memory
	MMIO   *bus.Bus // accesses to addresses without memory
	PIO    *bus.Bus // accesses to I/O ports
	// OnThread is called on the thread of each vCPU before it enters the guest for the first time: the place for a seccomp filter
	// of its own. May be nil.
	OnThread func(id int) error
}

// Set is the vCPUs of a VM.
type Set struct{ done chan struct{} }

// New creates the vCPUs. The caller sets their registers, then launches them.
func New(cfg Config) (*Set, error) { return nil, errors.New("not implemented") }

// VCPU returns vCPU id, for its initial state. It must not be used while the set runs.
func (s *Set) VCPU(id int) *kvm.VCPU { return nil }

// Launch starts the threads, which stay paused, and waits until OnThread has returned on each.
func (s *Set) Launch() error { return errors.New("not implemented") }

// Resume lets the vCPUs run.
func (s *Set) Resume() error { return errors.New("not implemented") }

// Pause makes the vCPUs leave the guest at an instruction boundary, all I/O completed, and returns when all have. When ctx ends
// first they are still on their way: Resume takes the pause back. Pause must not be called from a bus handler.
func (s *Set) Pause(ctx context.Context) error { return errors.New("not implemented") }

// Stop makes the vCPUs end and returns at once; Done tells when they have. A bus handler may call it.
func (s *Set) Stop() {}

// Done is closed when all threads have ended. A set that was never launched is done when Stop or Close is called.
func (s *Set) Done() <-chan struct{} { return s.done }

// End says why the vCPUs have ended; to be called after Done.
func (s *Set) End() End { return Stopped }

// Failure returns what went wrong when End is Failed, else nil; to be called after Done.
func (s *Set) Failure() *Failure { return nil }

// Close stops the vCPUs, waits for their threads and gives up what they hold. VM and memory are the caller's.
func (s *Set) Close() error { return nil }

// Save returns the versioned state of a paused set: vCPUs, interrupt controllers and clock.
func (s *Set) Save() ([]byte, error) { return nil, errors.New("not implemented") }

// Load takes a state over, in place of cpu.Reset and Entry.Enter, before Launch or while paused. The bytes may be hostile.
func (s *Set) Load(state []byte) error { return errors.New("not implemented") }

// Counters returns the exits of all vCPUs by reason, "exits.<reason>", and their sum, "exits". Interrupted runs, which are not
// exits, are "kicks".
func (s *Set) Counters() map[string]uint64 { return nil }

// End is how the life of a set ended.
type End int

// Ends.
const (
	Stopped     End = iota // Stop was called
	Shutdown               // the guest asked for it by a KVM system event
	ResetWanted            // so it did for a reset
	Crashed                // the guest told of a crash by a KVM system event
	Halted                 // a vCPU halted where no interrupt can wake it
	Failed                 // see Failure
)

// Failure is a vCPU that cannot go on.
type Failure struct {
	VCPU   int
	Reason string            // shutdown, internal_error, fail_entry, thread, run, ...: stable, for programs
	Detail string            // in words
	State  map[string]string // registers and instruction bytes, by name: "rip", "cr0", "cs", "code" ...
	Cause  error             // of a failed system call or OnThread; may be nil
}

func (f *Failure) Error() string { return f.Detail }
func (f *Failure) Unwrap() error { return f.Cause }
