package vcpu

import (
	"encoding/binary"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/bus"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
)

// Where struct kvm_run has what a script writes; package kvm compares its own offsets with the kernel's header.
const (
	exitReasonAt = 8
	detailsAt    = 32
	ioDataAt     = 4096
)

// script plays the kernel to one vCPU: KVM_RUN makes the next step, and after the last one the guest spins until it is kicked.
// Like KVM, it completes the I/O of the exit before, by handing what the step left in the run page to its function after, before it
// looks at immediate_exit.
type script struct {
	page   []byte
	run    kvm.RunPage
	steps  []step
	at     int
	mu     sync.Mutex
	events []string // what the guest went through, in order
}

type step struct {
	errno  syscall.Errno
	exit   func(page []byte)        // writes the exit
	after  func(page []byte) string // completes it; what it returns is an event
	before func()                   // runs while the "guest" runs
}

func newScript(t *testing.T, steps ...step) *script {
	t.Helper()
	// Not the Go heap, as in real life.
	page, err := unix.Mmap(-1, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(page) })
	run, err := kvm.NewRunPage(page)
	if err != nil {
		t.Fatal(err)
	}
	return &script{page: page, run: run, steps: steps}
}

// Run is KVM_RUN.
func (s *script) Run() syscall.Errno {
	if s.at > 0 && s.at <= len(s.steps) {
		if after := s.steps[s.at-1].after; after != nil {
			s.note(after(s.page))
			s.steps[s.at-1].after = nil
		}
	}
	if s.run.ImmediateExit() {
		return unix.EINTR
	}
	if s.at >= len(s.steps) {
		return s.spin()
	}
	next := s.steps[s.at]
	s.at++
	if next.before != nil {
		next.before()
	}
	if next.exit != nil {
		next.exit(s.page)
	}
	return next.errno
}

// spin is a guest in an endless loop. A kick is a signal and a flag; a thread outside of the kernel has only the flag.
func (s *script) spin() syscall.Errno {
	for !s.run.ImmediateExit() {
		_, _, _ = syscall.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	return unix.EINTR
}

func (s *script) note(event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, event)
}

func (s *script) noted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.events...)
}

// scripted makes a set whose vCPUs follow scripts.
func scripted(t *testing.T, cfg Config, scripts ...*script) *Set {
	t.Helper()
	if cfg.MMIO == nil {
		cfg.MMIO = &bus.Bus{}
	}
	if cfg.PIO == nil {
		cfg.PIO = &bus.Bus{}
	}
	s := newSet(cfg)
	for _, script := range scripts {
		s.add(&thread{run: script.Run, page: script.run})
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// exitWith is an exit whose details are 64-bit words.
func exitWith(reason kvm.ExitReason, details ...uint64) step {
	return step{exit: func(page []byte) {
		binary.LittleEndian.PutUint32(page[exitReasonAt:], uint32(reason))
		for i, d := range details {
			binary.LittleEndian.PutUint64(page[detailsAt+8*i:], d)
		}
	}}
}

// mmio is an access of n bytes to an address; a read gets its result in an event.
func mmioWrite(addr uint64, data ...byte) step {
	var word [8]byte
	copy(word[:], data)
	return exitWith(kvm.ExitMMIO, addr, binary.LittleEndian.Uint64(word[:]), uint64(len(data))|1<<32)
}

func mmioRead(addr uint64, n int, got func(data []byte) string) step {
	s := exitWith(kvm.ExitMMIO, addr, 0, uint64(n))
	s.after = func(page []byte) string { return got(page[detailsAt+8 : detailsAt+8+n]) }
	return s
}

// portOut writes items of size bytes, one after the other, to a port.
func portOut(port uint16, size int, data ...byte) step {
	s := exitWith(kvm.ExitIO, 1|uint64(size)<<8|uint64(port)<<16|uint64(len(data)/size)<<32, ioDataAt)
	exit := s.exit
	s.exit = func(page []byte) {
		exit(page)
		copy(page[ioDataAt:], data)
	}
	return s
}

func portIn(port uint16, size, count int, got func(data []byte) string) step {
	s := exitWith(kvm.ExitIO, uint64(size)<<8|uint64(port)<<16|uint64(count)<<32, ioDataAt)
	s.after = func(page []byte) string { return got(page[ioDataAt : ioDataAt+size*count]) }
	return s
}
