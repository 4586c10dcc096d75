package vcpu

import (
	"context"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/cpu"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
)

func TestKVMEntryProtocols(t *testing.T) {
	t.Run("PVH", func(t *testing.T) {
		dev := &device{}
		g := newGuest(t, 1, cpu.PVH, program(
			[]byte{0x89, 0xd8}, sayEAX, // mov eax, ebx
			readDevice, sayEAX,
			movEAX(0x12345678), writeDevice,
			movEAX(1), cpuid, []byte{0x89, 0xc8}, sayEAX, // mov eax, ecx
			end,
		)...)
		must(t, g.mmio.Attach("device", deviceAt, 0x1000, dev))
		g.start()
		g.wait("the guest's end", g.set.Done())
		said := g.debug.all()
		if len(said) != 3 || said[0] != layout.StartInfo || said[1] != 1 || dev.last.Load() != 0x12345678 {
			t.Fatalf("guest said %#x and wrote %#x to its device", said, dev.last.Load())
		}
		const hypervisor, tscDeadline = 1 << 31, 1 << 24
		if said[2]&hypervisor == 0 || said[2]&tscDeadline == 0 {
			t.Errorf("CPUID.1:ECX is %#x", said[2])
		}
		if c := g.set.Counters(); c["exits.io"] != 4 || c["exits.mmio"] != 2 {
			t.Errorf("counted %v", c)
		}
	})
	t.Run("Linux64", func(t *testing.T) {
		dev := &device{}
		g := newGuest(t, 1, cpu.Linux64, program(
			[]byte{0x48, 0x89, 0xf0}, sayEAX, // mov rax, rsi
			readDevice64, sayEAX,
			[]byte{0x50, 0x58},                                 // push rax; pop rax: there is a stack
			[]byte{0x48, 0xb9}, []byte{0, 0, 0, 0, 1, 0, 0, 0}, // mov rcx, 1<<32
			[]byte{0x48, 0xc1, 0xe9, 0x20}, []byte{0x89, 0xc8}, sayEAX, // shr rcx, 32; mov eax, ecx: registers of 64 bits
			end,
		)...)
		must(t, g.mmio.Attach("device", deviceAt, 0x1000, dev))
		g.start()
		g.wait("the guest's end", g.set.Done())
		if said, want := g.debug.all(), []uint64{layout.ZeroPage, 1, 1}; !reflect.DeepEqual(said, want) {
			t.Errorf("guest said %#x, want %#x", said, want)
		}
	})
}

// counting is a guest that counts in its memory for ever and never exits.
func counting(t *testing.T) *guest { return newGuest(t, 1, cpu.PVH, back(program(count))...) }

func TestKVMSpinningGuestIsKicked(t *testing.T) {
	g := counting(t)
	g.start()
	for range 20 {
		must(t, g.set.Pause(context.Background()))
		before := g.counter()
		runtime.Gosched()
		if after := g.counter(); after != before {
			t.Fatalf("a paused guest counts: %d, then %d", before, after)
		}
		must(t, g.set.Resume())
		for g.counter() == before {
			runtime.Gosched()
		}
	}
	if c := g.set.Counters(); c["exits"] != 0 || c["interrupted"] < 20 {
		t.Errorf("counted %v", c)
	}
}

func TestKVMHaltedGuestIsKicked(t *testing.T) {
	g := newGuest(t, 1, cpu.PVH, program(movEAX(7), sayEAX, hlt)...)
	g.start()
	g.wait("the guest's word", g.debug.said)
	must(t, g.set.Pause(context.Background()))
	must(t, g.set.Resume())
	g.set.Stop()
	g.wait("the end of a guest that sleeps", g.set.Done())
	if g.set.End() != Stopped {
		t.Errorf("ended with %v", g.set.End())
	}
}

func TestKVMSecondVCPU(t *testing.T) {
	const icrLow, icrHigh = layout.LAPIC + 0x300, layout.LAPIC + 0x310
	g := newGuest(t, 2, cpu.PVH, program(
		store(icrHigh, 1<<24),
		store(icrLow, 0x4500),              // INIT
		store(icrLow, 0x4600|apCodeAt>>12), // start-up
		spin,
	)...)
	// In real mode: mov eax, 1; cpuid; shr ebx, 24; mov eax, ebx; out debugPort, eax; jmp .
	g.write(apCodeAt, []byte{0x66, 0xb8, 1, 0, 0, 0, 0x0f, 0xa2, 0x66, 0xc1, 0xeb, 24, 0x66, 0x89, 0xd8, 0x66, 0xe7, debugPort, 0xeb, 0xfe})
	must(t, g.set.Launch())
	if s, err := g.set.VCPU(1).GetMPState(); err != nil || s != kvm.MPStateUninitialized {
		t.Errorf("vCPU 1 begins in state %d, %v", s, err)
	}
	must(t, g.set.Resume())
	g.wait("the second vCPU's word", g.debug.said)
	if said := g.debug.all(); !reflect.DeepEqual(said, []uint64{1}) {
		t.Errorf("second vCPU's APIC id is %#x", said)
	}
	must(t, g.set.Pause(context.Background()))
	must(t, g.set.Resume())
}

// TestKVMWaitingVCPU kicks one that nobody has started.
func TestKVMWaitingVCPU(t *testing.T) {
	g := newGuest(t, 2, cpu.PVH, program(movEAX(7), sayEAX, spin)...)
	g.start()
	g.wait("the guest's word", g.debug.said)
	must(t, g.set.Pause(context.Background()))
	must(t, g.set.Resume())
	g.set.Stop()
	g.wait("the end", g.set.Done())
}

func TestKVMFailures(t *testing.T) {
	t.Run("triple fault", func(t *testing.T) {
		g := newGuest(t, 1, cpu.PVH, program(ud2)...)
		g.fails(ReasonShutdown, "triple fault")
	})
	t.Run("invalid state", func(t *testing.T) {
		g := newGuest(t, 1, cpu.Linux64, program(spin)...)
		sregs, err := g.set.VCPU(0).GetSregs()
		must(t, err)
		sregs.CS.DB = 1 // of 64 and of 32 bits at once
		must(t, g.set.VCPU(0).SetSregs(sregs))
		f := g.fails(ReasonFailEntry, "refused to enter the guest")
		if f.State["cr3"] != "0x9000" || f.State["efer"] != "0x500" || f.State["cs"] != "0x10" {
			t.Errorf("state is %v", f.State)
		}
	})
	t.Run("instruction without memory", func(t *testing.T) {
		g := newGuest(t, 1, cpu.PVH, program(movEAX(0xd0000000), []byte{0xff, 0xe0})...) // jmp eax
		f := g.fails(ReasonInternalError, "could not emulate")
		if f.State["rip"] != "0xd0000000" || f.State["rax"] != "0xd0000000" || f.State["code"] != "" {
			t.Errorf("state is %v", f.State)
		}
	})
	t.Run("instruction that cannot be emulated", func(t *testing.T) {
		// fld tbyte [deviceAt]: ten bytes of a device are too wide for KVM.
		code := program(movEAX(0x44), []byte{0xdb, 0x2d, 0x00, 0x10, 0x00, 0xc0})
		g := newGuest(t, 1, cpu.PVH, code...)
		f := g.fails(ReasonInternalError, "could not emulate")
		if f.State["rip"] != "0x100005" || f.State["rax"] != "0x44" || !strings.HasPrefix(f.State["code"], "db 2d 00 10 00 c0") {
			t.Errorf("state is %v", f.State)
		}
	})
}

// fails runs a guest that must fail.
func (g *guest) fails(reason, detail string) *Failure {
	g.t.Helper()
	g.start()
	g.wait("the failure", g.set.Done())
	f := g.set.Failure()
	if f == nil || f.Reason != reason || !strings.Contains(f.Detail, detail) {
		g.t.Fatalf("failure is %+v, want %q with %q", f, reason, detail)
	}
	for _, name := range []string{"rip", "rsp", "rax", "r15", "rflags", "cr0", "cr4", "efer", "cs", "ss", "idt"} {
		if f.State[name] == "" {
			g.t.Errorf("state has no %s: %v", name, f.State)
		}
	}
	return f
}

// TestKVMExitsAllocateNothing counts allocations over real exits; a few are made as the set ends.
func TestKVMExitsAllocateNothing(t *testing.T) {
	const rounds, few = 5000, 200
	// mov ecx, rounds; again: mov eax, [device]; out 0x80, al; loop again; end
	loop := program(readDevice, []byte{0xe6, 0x80})
	code := program(movECX(rounds), loop, []byte{0xe2, byte(-(len(loop) + 2))}, end)
	g := newGuest(t, 1, cpu.PVH, code...)
	must(t, g.mmio.Attach("device", deviceAt, 0x1000, &device{}))
	must(t, g.set.Launch())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	must(t, g.set.Resume())
	g.wait("the guest's end", g.set.Done())
	runtime.ReadMemStats(&after)
	c := g.set.Counters()
	if c["exits"] != 2*rounds+1 {
		t.Fatalf("counted %v", c)
	}
	if n := after.Mallocs - before.Mallocs; n > few {
		t.Errorf("%d allocations in %d exits", n, c["exits"])
	}
}
