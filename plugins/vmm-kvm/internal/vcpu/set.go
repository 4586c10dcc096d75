package vcpu

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/bus"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/virtio"
)

// ErrEnded is returned by requests to a set whose vCPUs have ended or are about to.
var ErrEnded = errors.New("the vCPUs have ended")

// ErrNotPaused is returned by requests that need a paused set.
var ErrNotPaused = errors.New("the vCPUs are not paused")

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

// Set is the vCPUs of a VM. Its methods are safe for concurrent use.
type Set struct {
	cfg     Config
	vcpus   []*kvm.VCPU
	threads []*thread
	gate    *gate
	done    chan struct{}

	control  sync.Mutex // held by whoever needs the set to stay as it is: all of Launch, Resume, Pause, Save, Load and Close
	launched bool
	closed   bool

	mu       sync.Mutex // guards what follows; held for moments
	ended    outcome    // the first that is not Stopped
	culprit  int        // whose it was
	unmapped bool       // run pages are gone
	failure  *Failure   // written before done is closed
}

// New creates the vCPUs. The caller sets their registers, then launches them.
func New(cfg Config) (*Set, error) {
	s := newSet(cfg)
	for id := range cfg.Count {
		v, err := cfg.VM.CreateVCPU(id)
		if err != nil {
			_ = s.Close()
			return nil, fmt.Errorf("vCPU %d: %w", id, err)
		}
		s.vcpus = append(s.vcpus, v)
		s.add(&thread{run: v.Run, page: v.RunPage()})
	}
	return s, nil
}

func newSet(cfg Config) *Set { return &Set{cfg: cfg, gate: newGate(), done: make(chan struct{})} }

func (s *Set) add(t *thread) {
	t.id, t.mmio, t.pio, t.gate = len(s.threads), s.cfg.MMIO, s.cfg.PIO, s.gate
	s.threads = append(s.threads, t)
}

// VCPU returns vCPU id, for its initial state. It must not be used while the set runs.
func (s *Set) VCPU(id int) *kvm.VCPU { return s.vcpus[id] }

// Launch starts the threads, which stay paused, and waits until OnThread has returned on each. After an error the set has ended.
func (s *Set) Launch() error {
	s.control.Lock()
	defer s.control.Unlock()
	if s.launched || s.closed {
		return errors.New("the vCPUs were launched before")
	}
	s.launched = true
	var running sync.WaitGroup
	for _, t := range s.threads {
		running.Go(func() {
			// Told before the thread counts as gone, so that whoever sees it gone finds why.
			defer s.gate.leave()
			s.tell(t.id, t.main(s.cfg.OnThread))
		})
	}
	go func() {
		running.Wait()
		s.examine()
		close(s.done)
	}()
	_ = s.gate.settled(context.Background(), len(s.threads))
	if s.gate.paused(len(s.threads)) {
		return nil
	}
	<-s.done
	if s.failure != nil {
		return s.failure
	}
	return ErrEnded
}

// tell takes note of how a thread ended, and ends the others unless that is happening already.
func (s *Set) tell(id int, out outcome) {
	s.mu.Lock()
	if s.ended.end == Stopped {
		s.ended, s.culprit = out, id
	}
	s.mu.Unlock()
	if out.end != Stopped {
		s.Stop()
	}
}

// Resume lets the vCPUs run.
func (s *Set) Resume() error {
	s.control.Lock()
	defer s.control.Unlock()
	if !s.launched {
		return errors.New("the vCPUs have not been launched")
	}
	if !s.gate.ask(toRun) {
		return ErrEnded
	}
	return nil
}

// Pause makes the vCPUs leave the guest at an instruction boundary, all I/O completed, and returns when all have. When ctx ends
// first they are still on their way: Resume takes the pause back. Pause must not be called from a bus handler.
func (s *Set) Pause(ctx context.Context) error {
	s.control.Lock()
	defer s.control.Unlock()
	if !s.launched {
		return nil
	}
	if !s.gate.ask(toWait) {
		return ErrEnded
	}
	s.kick()
	if err := s.gate.settled(ctx, len(s.threads)); err != nil {
		return fmt.Errorf("pause the vCPUs: %w", err)
	}
	if !s.gate.paused(len(s.threads)) {
		return ErrEnded
	}
	s.excusePause()
	return nil
}

// excusePause tells the guest that the time which passes from now on is not its fault. A guest that does not use kvmclock cannot be
// told.
func (s *Set) excusePause() {
	for _, v := range s.vcpus {
		_ = v.KVMClockCtrl()
	}
}

// Stop makes the vCPUs end and returns at once; Done tells when they have. A bus handler may call it.
func (s *Set) Stop() {
	s.gate.ask(toEnd)
	s.kick()
}

func (s *Set) kick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unmapped {
		return
	}
	for _, t := range s.threads {
		t.kick()
	}
}

// Done is closed when all threads have ended: after Launch, by Stop or by the guest, else by Close.
func (s *Set) Done() <-chan struct{} { return s.done }

// End says why the vCPUs have ended; to be called after Done.
func (s *Set) End() End { return s.ended.end }

// Failure returns what went wrong when End is Failed, else nil; to be called after Done.
func (s *Set) Failure() *Failure { return s.failure }

// examine finds out more about a failure, once nobody runs the vCPUs any more.
func (s *Set) examine() {
	if s.ended.end != Failed {
		return
	}
	s.failure = &Failure{VCPU: s.culprit, Reason: s.ended.reason, Detail: s.ended.detail, Cause: s.ended.cause}
	if s.culprit < len(s.vcpus) {
		s.failure.State = inspect(s.vcpus[s.culprit], s.cfg.Memory)
	}
}

// Close stops the vCPUs, waits for their threads and gives up what they hold. VM and memory are the caller's.
func (s *Set) Close() error {
	s.Stop()
	s.control.Lock()
	defer s.control.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.launched {
		<-s.done
	} else {
		close(s.done)
	}
	s.mu.Lock()
	s.unmapped = true
	s.mu.Unlock()
	var errs []error
	for _, v := range s.vcpus {
		errs = append(errs, v.Close())
	}
	s.vcpus = nil
	return errors.Join(errs...)
}
