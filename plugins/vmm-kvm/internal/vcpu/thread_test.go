package vcpu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/bus"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
)

// recorder is a device that keeps what it is told and answers with its offset.
type recorder struct {
	mu    sync.Mutex
	said  []string
	onAny func()
}

func (r *recorder) Read(offset uint64, p []byte) {
	for i := range p {
		p[i] = byte(offset) + byte(i)
	}
	r.note("read %#x %d", offset, len(p))
}

func (r *recorder) Write(offset uint64, p []byte) { r.note("write %#x %x", offset, p) }

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	r.said = append(r.said, fmt.Sprintf(format, args...))
	r.mu.Unlock()
	if r.onAny != nil {
		r.onAny()
	}
}

func attach(t *testing.T, base, size uint64, h bus.Handler) *bus.Bus {
	t.Helper()
	b := &bus.Bus{}
	if err := b.Attach("device", base, size, h); err != nil {
		t.Fatal(err)
	}
	return b
}

func start(t *testing.T, s *Set) {
	t.Helper()
	if err := s.Launch(); err != nil {
		t.Fatal(err)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
}

func hex(data []byte) string { return fmt.Sprintf("%x", data) }

func TestExitsReachDevices(t *testing.T) {
	dev, ports := &recorder{}, &recorder{}
	script := newScript(t,
		mmioWrite(0xc0001050, 1, 2, 3, 4),
		mmioRead(0xc0001010, 2, hex),
		mmioRead(0xd0000000, 8, hex),
		mmioWrite(0xd0000000, 1),
		portOut(0x3f8, 1, 'h', 'i'),
		portIn(0x3fd, 1, 3, hex),
		portIn(0x80, 4, 1, hex),
		portOut(0x80, 2, 1, 2),
		step{errno: unix.EINTR}, step{errno: unix.EAGAIN}, // not exits
		exitWith(kvm.ExitIntr),
		exitWith(kvm.ExitSystemEvent, uint64(kvm.SystemEventShutdown)),
	)
	s := scripted(t, Config{MMIO: attach(t, 0xc0001000, 0x1000, dev), PIO: attach(t, 0x3f8, 8, ports)}, script)
	start(t, s)
	<-s.Done()
	if s.End() != Shutdown || s.Failure() != nil {
		t.Fatalf("ended with %v, %v", s.End(), s.Failure())
	}
	if want := []string{"write 0x50 01020304", "read 0x10 2"}; !reflect.DeepEqual(dev.said, want) {
		t.Errorf("device saw %q, want %q", dev.said, want)
	}
	if want := []string{"write 0x0 68", "write 0x0 69", "read 0x5 1", "read 0x5 1", "read 0x5 1"}; !reflect.DeepEqual(ports.said, want) {
		t.Errorf("ports saw %q, want %q", ports.said, want)
	}
	if want := []string{"1011", "ffffffffffffffff", "050505", "ffffffff"}; !reflect.DeepEqual(script.noted(), want) {
		t.Errorf("the guest read %q, want %q", script.noted(), want)
	}
	want := map[string]uint64{
		"exits": 10, "exits.mmio": 4, "exits.io": 4, "exits.intr": 1, "exits.system_event": 1, "interrupted": 2,
	}
	if got := s.Counters(); !reflect.DeepEqual(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// TestPauseCompletesIO pauses from within a device, so that the pause certainly meets an access that is pending.
func TestPauseCompletesIO(t *testing.T) {
	dev := &recorder{}
	script := newScript(t, mmioRead(0x1008, 4, hex), exitWith(kvm.ExitSystemEvent, uint64(kvm.SystemEventReset)))
	s := scripted(t, Config{MMIO: attach(t, 0x1000, 0x100, dev)}, script)
	paused := make(chan error, 1)
	dev.onAny = func() {
		s.gate.ask(toWait)
		s.kick()
		go func() { paused <- s.Pause(context.Background()) }()
	}
	start(t, s)
	if err := <-paused; err != nil {
		t.Fatal(err)
	}
	if got := script.noted(); !reflect.DeepEqual(got, []string{"08090a0b"}) {
		t.Errorf("paused with the guest having read %q", got)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if s.End() != ResetWanted {
		t.Errorf("ended with %v", s.End())
	}
}

func TestPauseAndResume(t *testing.T) {
	s := scripted(t, Config{}, newScript(t), newScript(t), newScript(t))
	if err := s.Pause(context.Background()); err != nil {
		t.Errorf("a set that was not launched is paused: %v", err)
	}
	if err := s.Resume(); err == nil {
		t.Error("resumed what was not launched")
	}
	start(t, s)
	if err := s.Launch(); err == nil {
		t.Error("launched twice")
	}
	for range 50 {
		if err := s.Pause(context.Background()); err != nil {
			t.Fatal(err)
		}
		if !s.gate.paused(3) {
			t.Fatal("Pause returned before all threads were at the gate")
		}
		if err := s.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	s.Stop()
	<-s.Done()
	if s.End() != Stopped || s.Failure() != nil {
		t.Errorf("ended with %v, %v", s.End(), s.Failure())
	}
	if err := s.Resume(); !errors.Is(err, ErrEnded) {
		t.Errorf("Resume after the end: %v", err)
	}
	if err := s.Pause(context.Background()); !errors.Is(err, ErrEnded) {
		t.Errorf("Pause after the end: %v", err)
	}
}

// TestPauseGivesUp has a vCPU that is stuck in a device.
func TestPauseGivesUp(t *testing.T) {
	dev := &recorder{}
	release, stuck := make(chan struct{}), make(chan struct{})
	dev.onAny = func() { close(stuck); <-release }
	s := scripted(t, Config{MMIO: attach(t, 0, 8, dev)}, newScript(t, mmioWrite(0, 1)))
	start(t, s)
	<-stuck
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Pause(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Pause = %v", err)
	}
	if err := s.Resume(); err != nil {
		t.Errorf("Resume takes the pause back: %v", err)
	}
	close(release)
	if err := s.Pause(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestStopFromADevice(t *testing.T) {
	dev := &recorder{}
	s := scripted(t, Config{MMIO: attach(t, 0, 8, dev)}, newScript(t, mmioWrite(0, 1), mmioWrite(4, 1)), newScript(t))
	dev.onAny = s.Stop
	start(t, s)
	<-s.Done()
	if len(dev.said) != 1 || s.End() != Stopped {
		t.Errorf("device saw %q, ended with %v", dev.said, s.End())
	}
}

// TestControlFromManySides is for the race detector.
func TestControlFromManySides(t *testing.T) {
	s := scripted(t, Config{}, newScript(t), newScript(t))
	start(t, s)
	var sides sync.WaitGroup
	for range 4 {
		sides.Go(func() {
			for range 25 {
				_ = s.Pause(context.Background())
				_ = s.Counters()
				_ = s.Resume()
			}
		})
	}
	sides.Wait()
	sides.Go(s.Stop)
	sides.Go(func() { _ = s.Close() })
	sides.Wait()
	<-s.Done()
}

func TestOnThread(t *testing.T) {
	var mu sync.Mutex
	seen := map[int]int{} // thread of each vCPU
	scripts := []*script{newScript(t), newScript(t)}
	for id, script := range scripts {
		script.steps = []step{exitWith(kvm.ExitIntr)}
		script.steps[0].before = func() {
			mu.Lock()
			defer mu.Unlock()
			if seen[id] != unix.Gettid() {
				t.Errorf("vCPU %d runs on thread %d, was prepared on %d", id, unix.Gettid(), seen[id])
			}
		}
	}
	s := scripted(t, Config{OnThread: func(id int) error {
		mu.Lock()
		defer mu.Unlock()
		seen[id] = unix.Gettid()
		return nil
	}}, scripts...)
	if err := s.Launch(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	if len(seen) != 2 || seen[0] == seen[1] {
		t.Errorf("threads of the vCPUs when Launch has returned: %v", seen)
	}
	mu.Unlock()
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := s.Pause(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestOnThreadFails(t *testing.T) {
	refused := errors.New("no filter")
	s := scripted(t, Config{OnThread: func(id int) error {
		if id == 1 {
			return refused
		}
		return nil
	}}, newScript(t), newScript(t))
	err := s.Launch()
	var f *Failure
	if !errors.As(err, &f) || f.Reason != ReasonThread || f.VCPU != 1 || !errors.Is(err, refused) {
		t.Errorf("Launch = %v", err)
	}
	<-s.Done()
}

func TestEndsAndFailures(t *testing.T) {
	for name, c := range map[string]struct {
		step   step
		end    End
		reason string
		detail string
	}{
		"shutdown event":      {exitWith(kvm.ExitSystemEvent, 1), Shutdown, "", ""},
		"reset event":         {exitWith(kvm.ExitSystemEvent, 2), ResetWanted, "", ""},
		"crash event":         {exitWith(kvm.ExitSystemEvent, 3), Crashed, "", ""},
		"strange event":       {exitWith(kvm.ExitSystemEvent, 77), Failed, ReasonUnknown, "system event 77"},
		"halt":                {exitWith(kvm.ExitHLT), Halted, "", ""},
		"triple fault":        {exitWith(kvm.ExitShutdown), Failed, ReasonShutdown, "triple fault"},
		"internal error":      {exitWith(kvm.ExitInternalError, 1|2<<32, 0xabc, 0xdef), Failed, ReasonInternalError, "could not emulate an instruction; data [0xabc 0xdef]"},
		"internal data lies":  {exitWith(kvm.ExitInternalError, 3|0xffffffff<<32), Failed, ReasonInternalError, "delivered an event"},
		"fail entry":          {exitWith(kvm.ExitFailEntry, 0x80000021, 1), Failed, ReasonFailEntry, "0x80000021, on host CPU 1"},
		"unknown to KVM":      {exitWith(kvm.ExitUnknown, 99), Failed, ReasonUnknown, "hardware reason 0x63"},
		"unknown to us":       {exitWith(1234), Failed, ReasonUnknown, "KVM_EXIT_1234"},
		"mmio without bytes":  {exitWith(kvm.ExitMMIO, 0, 0, 0), Failed, ReasonRun, "0 bytes"},
		"mmio of many bytes":  {exitWith(kvm.ExitMMIO, 0, 0, 9), Failed, ReasonRun, "9 bytes"},
		"io beyond the page":  {exitWith(kvm.ExitIO, 1<<8|1<<32, 8192), Failed, ReasonRun, "KVM_EXIT_IO"},
		"io without size":     {exitWith(kvm.ExitIO, 1<<32, 4096), Failed, ReasonRun, "KVM_EXIT_IO"},
		"io of too many":      {exitWith(kvm.ExitIO, 8<<8|0xffffffff<<32, 4096), Failed, ReasonRun, "KVM_EXIT_IO"},
		"error of KVM_RUN":    {step{errno: syscall.ENXIO}, Failed, ReasonRun, "KVM_RUN"},
		"no memory behind":    {step{errno: syscall.EFAULT}, Failed, ReasonMemory, "cannot be had"},
		"no memory, and told": {memoryFault(), Failed, ReasonMemory, "guest memory at 0x5000, 0x1000 bytes, cannot be had"},
	} {
		t.Run(name, func(t *testing.T) {
			script := newScript(t, c.step)
			s := scripted(t, Config{}, newScript(t), script)
			start(t, s)
			<-s.Done()
			if s.End() != c.end {
				t.Fatalf("ended with %v, want %v: %v", s.End(), c.end, s.Failure())
			}
			f := s.Failure()
			if (f != nil) != (c.end == Failed) {
				t.Fatalf("failure is %v", f)
			}
			if f != nil && (f.Reason != c.reason || f.VCPU != 1 || !strings.Contains(f.Error(), c.detail) ||
				!strings.Contains(f.Error(), "vCPU 1")) {
				t.Errorf("failure of vCPU %d is %q: %q, want %q: %q", f.VCPU, f.Reason, f.Error(), c.reason, c.detail)
			}
			if c.step.errno != 0 && !errors.Is(f, c.step.errno) {
				t.Errorf("%v hides its cause", f)
			}
		})
	}
}

// memoryFault is how newer kernels say which page is missing: exit details beside the errno.
func memoryFault() step {
	s := exitWith(kvm.ExitMemoryFault, 0, 0x5000, 0x1000)
	s.errno = syscall.EFAULT
	return s
}

// TestExitsAllocateNothing counts allocations while the thread's loop handles thousands of exits of every kind that a running guest
// has.
func TestExitsAllocateNothing(t *testing.T) {
	const exits = 2000
	kinds := []step{
		mmioWrite(0x1000, 1, 2, 3, 4), mmioRead(0x1010, 8, nil), mmioWrite(0x9000, 1), mmioRead(0x9000, 4, nil),
		portOut(0x3f8, 1, 'x', 'y'), portIn(0x3f8, 2, 4, nil), portOut(0x80, 1, 1), exitWith(kvm.ExitIntr),
	}
	script := newScript(t)
	n := 0
	th := &thread{
		page: script.run, mmio: attach(t, 0x1000, 0x100, quiet{}), pio: attach(t, 0x3f8, 8, quiet{}), gate: newGate(),
	}
	th.run = func() syscall.Errno {
		if n++; n > exits {
			th.gate.want = toEnd
			return unix.EINTR
		}
		if n%100 == 0 {
			return unix.EAGAIN
		}
		kinds[n%len(kinds)].exit(script.page)
		return 0
	}
	got := testing.AllocsPerRun(10, func() {
		n, th.gate.want = 0, toRun
		if out := th.loop(); out.end != Stopped {
			t.Fatalf("ended with %+v", out)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations in %d exits", got, exits)
	}
}

// quiet is a device that does nothing.
type quiet struct{}

func (quiet) Read(uint64, []byte)  {}
func (quiet) Write(uint64, []byte) {}

// TestKickSignalIsHarmless sends it to a thread that has nothing to do with vCPUs.
func TestKickSignalIsHarmless(t *testing.T) {
	tid := make(chan int)
	end := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		tid <- unix.Gettid()
		<-end
	}()
	id := <-tid
	for range 1000 {
		if err := unix.Tgkill(os.Getpid(), id, kickSignal); err != nil {
			t.Fatal(err)
		}
	}
	close(end)
}
