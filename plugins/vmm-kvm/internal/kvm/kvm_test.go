package kvm

import (
	"errors"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKVMRegisters writes every kind of register and reads it back.
func TestKVMRegisters(t *testing.T) {
	vm, vcpu, _ := newVM(t)
	if vcpu.ID() != 0 {
		t.Errorf("id is %d", vcpu.ID())
	}
	leaves := []CPUIDEntry2{{Function: 0, EAX: 1, EBX: 1}, {Function: 1, ECX: 1 << 26}, {Function: 0xd, Index: 1, Flags: CPUIDFlagSignificantIndex}}
	check(t, vcpu.SetCPUID2(leaves))
	if got, err := vcpu.GetCPUID2(); err != nil || len(got) != len(leaves) {
		t.Errorf("CPUID is %+v, %v", got, err)
	}

	regs := Regs{RAX: 1, RBX: 2, RCX: 3, RDX: 4, RSI: 5, RDI: 6, RSP: 7, RBP: 8, R8: 9, R15: 16, RIP: 0x123, RFLAGS: 2}
	check(t, vcpu.SetRegs(regs))
	same(t, vcpu.GetRegs, regs)

	sregs, err := vcpu.GetSregs()
	check(t, err)
	sregs.CR2, sregs.GDT.Base, sregs.IDT.Limit, sregs.FS.Base = 0xabcd, 0x500, 0xfff, 0x1000
	check(t, vcpu.SetSregs(sregs))
	same(t, vcpu.GetSregs, sregs)

	debug := DebugRegs{DB: [4]uint64{1, 2, 3, 4}, DR6: 0xffff0ff0, DR7: 0x400}
	check(t, vcpu.SetDebugRegs(debug))
	same(t, vcpu.GetDebugRegs, debug)

	lapic, err := vcpu.GetLAPIC()
	check(t, err)
	lapic.Regs[0x80] = 0x20 // task priority
	check(t, vcpu.SetLAPIC(lapic))
	if got, err := vcpu.GetLAPIC(); err != nil || got.Regs[0x80] != 0x20 {
		t.Errorf("task priority is %#x, %v", got.Regs[0x80], err)
	}

	xcrs, err := vcpu.GetXCRS()
	check(t, err)
	check(t, vcpu.SetXCRS(xcrs))

	size, err := vm.XSAVESize()
	check(t, err)
	state, err := vcpu.GetXSAVE(size)
	if err != nil || len(state) != size {
		t.Fatalf("%d bytes of extended state, want %d: %v", len(state), size, err)
	}
	// XMM15 in the legacy area, and SSE in XSTATE_BV: without the bit the registers would be taken as fresh.
	const xmm15, xstateBV, sse = 160 + 15*16, 512, 2
	state[xmm15], state[xstateBV] = 0x77, state[xstateBV]|sse
	check(t, vcpu.SetXSAVE(state, size))
	if got, err := vcpu.GetXSAVE(size); err != nil || got[xmm15] != 0x77 {
		t.Errorf("XMM15 begins with %#x, %v", got[xmm15], err)
	}
	if err := vcpu.SetXSAVE(state[:100], size); err == nil {
		t.Error("accepted a state that is too short")
	}

	check(t, vcpu.SetMPState(MPStateHalted))
	same(t, vcpu.GetMPState, MPStateHalted)
	events, err := vcpu.GetVCPUEvents()
	check(t, err)
	events.NMI.Masked = 1
	check(t, vcpu.SetVCPUEvents(events))
	same(t, vcpu.GetVCPUEvents, events)

	if khz, err := vcpu.GetTSCKHz(); err != nil || khz < 1000 {
		t.Errorf("TSC runs at %d kHz, %v", khz, err)
	}
	if err := vcpu.KVMClockCtrl(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a guest without kvmclock was told of a pause: %v", err)
	}
}

// TestKVMMSRs has more registers than one request holds, and one that does not exist.
func TestKVMMSRs(t *testing.T) {
	_, vcpu, _ := newVM(t)
	const star, nonsense = 0xc0000081, 0xdeadbeef
	entries := make([]MSREntry, 600)
	for i := range entries {
		entries[i] = MSREntry{Index: star, Data: uint64(i)}
	}
	if n, err := vcpu.SetMSRs(entries); err != nil || n != len(entries) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	clear(entries)
	for i := range entries {
		entries[i].Index = star
	}
	entries[500].Index = nonsense
	n, err := vcpu.GetMSRs(entries)
	if err != nil || n != 500 || entries[0].Data != 599 || entries[499].Data != 599 || entries[501].Data != 0 {
		t.Errorf("read %d, %v", n, err)
	}
	if n, err := vcpu.SetMSRs([]MSREntry{{Index: nonsense, Data: 1}}); err != nil || n != 0 {
		t.Errorf("wrote %d of a register that is none, %v", n, err)
	}
}

func TestKVMClockAndChips(t *testing.T) {
	vm, _, _ := newVM(t)
	check(t, vm.SetClock(ClockData{Clock: 1 << 50}))
	if c, err := vm.GetClock(); err != nil || c.Clock < 1<<50 || c.Clock > 1<<50+1<<40 {
		t.Errorf("clock is %d, %v", c.Clock, err)
	}
	for _, id := range []uint32{IRQChipPICMaster, IRQChipPICSlave, IRQChipIOAPIC} {
		chip, err := vm.GetIRQChip(id)
		if err != nil || chip.ChipID != id {
			t.Errorf("chip %d: %v", id, err)
		}
		check(t, vm.SetIRQChip(chip))
	}
	check(t, vm.IRQLine(5, true))
	check(t, vm.IRQLine(5, false))
	if err := vm.EnableCap(Cap(100000)); !errors.Is(err, unix.EINVAL) {
		t.Errorf("enabled what does not exist: %v", err)
	}
}

// TestKVMEventFDs has a guest write three values to an address and two to a port, where one each is an event.
func TestKVMEventFDs(t *testing.T) {
	vm, vcpu, memory := newVM(t)
	enterRealMode(t, vcpu, memory,
		0x66, 0xb8, 1, 0, 0, 0, 0x66, 0xa3, 0x50, 0x10, // mov eax, 1; mov [0x1050], eax
		0x66, 0xb8, 2, 0, 0, 0, 0x66, 0xa3, 0x50, 0x10, // mov eax, 2; mov [0x1050], eax
		0xe7, 0x10, // out 0x10, ax
		0xe7, 0x30, // out 0x30, ax
		0xf4,
	)
	memEvent, portEvent := eventfd(t), eventfd(t)
	match := IOEvent{Addr: 0x1050, Len: 4, Match: true, DataMatch: 1}
	port := IOEvent{Addr: 0x10, Port: true}
	check(t, vm.IOEventFD(memEvent, match))
	check(t, vm.IOEventFD(portEvent, port))
	if err := vm.IOEventFD(eventfd(t), match); !errors.Is(err, unix.EEXIST) {
		t.Errorf("the same event twice: %v", err)
	}

	if errno := vcpu.Run(); errno != 0 || vcpu.RunPage().ExitReason() != ExitMMIO {
		t.Fatalf("KVM_RUN: %v, %v", errno, vcpu.RunPage().ExitReason())
	}
	access, err := vcpu.RunPage().MMIO()
	if err != nil || !access.Write || access.Addr != 0x1050 || !reflect.DeepEqual(access.Data, []byte{2, 0, 0, 0}) {
		t.Errorf("exit for %+v, %v", access, err)
	}
	if errno := vcpu.Run(); errno != 0 || vcpu.RunPage().ExitReason() != ExitIO {
		t.Fatalf("KVM_RUN: %v, %v", errno, vcpu.RunPage().ExitReason())
	}
	io, err := vcpu.RunPage().IO()
	if err != nil || !io.Out || io.Port != 0x30 || io.Size != 2 || !reflect.DeepEqual(io.Data, []byte{2, 0}) {
		t.Errorf("exit for %+v, %v", io, err)
	}
	for name, fd := range map[string]int{"address": memEvent, "port": portEvent} {
		if n := drain(t, fd); n != 1 {
			t.Errorf("%d events at the %s", n, name)
		}
	}

	check(t, vm.RemoveIOEventFD(memEvent, match))
	check(t, vm.RemoveIOEventFD(portEvent, port))
	if err := vm.RemoveIOEventFD(memEvent, match); !errors.Is(err, unix.ENOENT) {
		t.Errorf("removed twice: %v", err)
	}
	check(t, vm.IRQFD(memEvent, 5))
	if err := vm.IRQFD(memEvent, 5); !errors.Is(err, unix.EBUSY) {
		t.Errorf("irqfd twice: %v", err)
	}
	check(t, vm.RemoveIRQFD(memEvent, 5))
}

// TestKVMImmediateExit finishes a read without going on to the next instruction.
func TestKVMImmediateExit(t *testing.T) {
	_, vcpu, memory := newVM(t)
	enterRealMode(t, vcpu, memory,
		0x66, 0xa1, 0x50, 0x10, // mov eax, [0x1050]
		0xe7, 0x30, // out 0x30, ax
	)
	page := vcpu.RunPage()
	page.SetImmediateExit()
	if errno := vcpu.Run(); errno != unix.EINTR {
		t.Fatalf("KVM_RUN: %v", errno)
	}
	page.ClearImmediateExit()
	if errno := vcpu.Run(); errno != 0 || page.ExitReason() != ExitMMIO {
		t.Fatalf("KVM_RUN: %v, %v", errno, page.ExitReason())
	}
	access, err := page.MMIO()
	check(t, err)
	copy(access.Data, []byte{0x78, 0x56, 0x34, 0x12})
	page.SetImmediateExit()
	if errno := vcpu.Run(); errno != unix.EINTR {
		t.Fatalf("KVM_RUN: %v", errno)
	}
	if r, err := vcpu.GetRegs(); err != nil || r.RAX != 0x12345678 || r.RIP != codeAt+4 {
		t.Errorf("after the read: rax %#x, rip %#x, %v", r.RAX, r.RIP, err)
	}
	if addr, ok, err := vcpu.Translate(0x123); err != nil || !ok || addr != 0x123 {
		t.Errorf("0x123 is translated to %#x, %v, %v", addr, ok, err)
	}
}

const codeAt = 0x100

// enterRealMode puts code into memory, and the vCPU at its beginning.
func enterRealMode(t *testing.T, vcpu *VCPU, memory []byte, code ...byte) {
	t.Helper()
	copy(memory[codeAt:], code)
	sregs, err := vcpu.GetSregs()
	check(t, err)
	sregs.CS.Base, sregs.CS.Selector = 0, 0
	check(t, vcpu.SetSregs(sregs))
	check(t, vcpu.SetRegs(Regs{RIP: codeAt, RFLAGS: 2}))
}

func eventfd(t *testing.T) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	check(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func drain(t *testing.T, fd int) byte {
	t.Helper()
	var counter [8]byte
	if _, err := unix.Read(fd, counter[:]); err != nil && !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	return counter[0]
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same[T any](t *testing.T, get func() (T, error), want T) {
	t.Helper()
	if got, err := get(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read back %+v, %v; want %+v", got, err, want)
	}
}
