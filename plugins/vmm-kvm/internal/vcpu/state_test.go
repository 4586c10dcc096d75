package vcpu

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/cpu"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/virtio"
)

func TestOrderMSRs(t *testing.T) {
	list := orderMSRs([]uint32{0x6e0, 0xc0000080, 0x40000020, 0x10, 0x2ff, 0x174})
	if list[0] != msrTSC || list[len(list)-1] != msrTSCDeadline {
		t.Errorf("the TSC is not first, or its deadline not last: %#x", list)
	}
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) != len(list) {
		t.Errorf("a register stands there twice: %#x", list)
	}
	if slices.Contains(list, 0x40000020) {
		t.Error("Hyper-V's clock is in the list")
	}
	for _, index := range []uint32{0x174, 0xc0000080, 0x2ff, 0x200, 0x20f, 0x26f, 0x400} {
		if !slices.Contains(list, index) {
			t.Errorf("%#x is missing", index)
		}
	}
}

func TestKeepTimer(t *testing.T) {
	for _, c := range []struct{ deadline, want uint64 }{{0, 1000}, {5000, 5000}} {
		saved := []kvm.MSREntry{{Index: msrTSC, Data: 1000}, {Index: 0x174}, {Index: msrTSCDeadline, Data: c.deadline}}
		keepTimer(saved)
		if saved[2].Data != c.want || saved[1].Data != 0 {
			t.Errorf("deadline %d is saved as %d, want %d", c.deadline, saved[2].Data, c.want)
		}
	}
	keepTimer(nil)
	keepTimer([]kvm.MSREntry{{Index: msrTSCDeadline}})
}

// decoded is a saved state without what passes with time.
func decoded(t *testing.T, state []byte) savedState {
	t.Helper()
	var s savedState
	must(t, virtio.DecodeState(state, stateVersion, &s))
	s.Clock = 0
	for i := range s.VCPUs {
		v := &s.VCPUs[i]
		if len(v.MSRs) < 20 || v.MSRs[0].Index != msrTSC || v.MSRs[0].Data == 0 {
			t.Errorf("vCPU %d has %d MSRs, the first is %+v", i, len(v.MSRs), v.MSRs[0])
		}
		v.MSRs = slices.DeleteFunc(v.MSRs, func(e kvm.MSREntry) bool { return e.Index == msrTSC || e.Index == msrTSCDeadline })
	}
	return s
}

func compareStates(t *testing.T, got, want savedState) {
	t.Helper()
	for i, v := range want.VCPUs {
		loaded, saved := reflect.ValueOf(got.VCPUs[i]), reflect.ValueOf(v)
		for f := range saved.NumField() {
			if l, s := loaded.Field(f).Interface(), saved.Field(f).Interface(); !reflect.DeepEqual(l, s) {
				t.Errorf("vCPU %d, %s: saved %+v\nloaded %+v", i, saved.Type().Field(f).Name, s, l)
			}
		}
	}
	got.VCPUs, want.VCPUs = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("saved %+v\nloaded %+v", want, got)
	}
}

// unsettle changes what guest code of a few instructions does not: it halts the vCPU in an NMI, with SSE in XCR0.
func unsettle(t *testing.T, v *kvm.VCPU) {
	t.Helper()
	must(t, v.SetMPState(kvm.MPStateHalted))
	events, err := v.GetVCPUEvents()
	must(t, err)
	events.NMI.Masked = 1
	must(t, v.SetVCPUEvents(events))
	must(t, v.SetXCRS(kvm.XCRS{NrXCRS: 1, XCRS: [16]kvm.XCR{{Value: 3}}}))
}

// TestKVMStateSurvives saves a guest in the middle of its work, with much of its state changed from what it is after reset, and goes
// on with it in another VM.
func TestKVMStateSurvives(t *testing.T) {
	first := newGuest(t, 2, cpu.Linux64, program(
		[]byte{0x49, 0xb8}, []byte{1, 2, 3, 4, 5, 6, 7, 8}, // mov r8, 0x0807060504030201
		[]byte{0x0f, 0x20, 0xe0, 0x0d, 0x00, 0x06, 0x00, 0x00, 0x0f, 0x22, 0xe0},                   // mov rax, cr4; or eax, OSFXSR|OSXMMEXCPT; mov cr4, rax
		[]byte{0x66, 0x49, 0x0f, 0x6e, 0xf8},                                                       // movq xmm7, r8
		[]byte{0x4c, 0x89, 0xc0, 0x0f, 0x23, 0xc0},                                                 // mov rax, r8; mov dr0, rax
		[]byte{0xb9, 0x82, 0x00, 0x00, 0xc0, 0xb8, 0x78, 0x56, 0x34, 0x12, 0x31, 0xd2, 0x0f, 0x30}, // LSTAR = 0x12345678
		sayEAX,
		back([]byte{0xff, 0x04, 0x25, 0x00, 0x00, 0x08, 0x00}), // inc dword [counterAt]
	)...)
	first.start()
	first.wait("the guest's word", first.debug.said)
	if _, err := first.set.Save(); !errors.Is(err, ErrNotPaused) {
		t.Errorf("Save of a running set: %v", err)
	}
	must(t, first.set.Pause(context.Background()))
	unsettle(t, first.set.VCPU(1))
	state, err := first.set.Save()
	must(t, err)

	saved := decoded(t, state)
	v := saved.VCPUs[0]
	if v.Regs.R8 != 0x0807060504030201 || v.DebugRegs.DB[0] != v.Regs.R8 ||
		!bytes.Contains(v.XSAVE, []byte{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("saved R8 %#x, DR0 %#x, %d bytes of XSAVE", v.Regs.R8, v.DebugRegs.DB[0], len(v.XSAVE))
	}
	if !slices.Contains(v.MSRs, kvm.MSREntry{Index: 0xc0000082, Data: 0x12345678}) || !slices.ContainsFunc(v.MSRs, func(e kvm.MSREntry) bool {
		return e.Index == 0x2ff && e.Data == 0x806
	}) {
		t.Errorf("saved MSRs lack LSTAR or the default memory type: %#x", v.MSRs)
	}
	if saved.VCPUs[1].MPState != kvm.MPStateHalted || saved.VCPUs[1].Events.NMI.Masked != 1 || saved.VCPUs[1].XCRS.XCRS[0].Value != 3 {
		t.Errorf("vCPU 1 is in state %d with events %+v and XCRS %+v", saved.VCPUs[1].MPState, saved.VCPUs[1].Events, saved.VCPUs[1].XCRS)
	}
	t.Logf("state of 2 vCPUs: %d bytes, %d and %d MSRs", len(state), len(v.MSRs), len(saved.VCPUs[1].MSRs))

	before := first.counter()
	second := newMachine(t, 2, first.ram)
	must(t, second.set.Load(state))
	again, err := second.set.Save()
	must(t, err)
	compareStates(t, decoded(t, again), saved)
	second.start()
	for second.counter() == before {
	}
	must(t, second.set.Pause(context.Background()))
}

// TestKVMPendingReadSurvives moves a guest between VMs that reads a device all the time, and misses it when a read is lost or made
// twice: the device counts reads, the guest counts what it got.
func TestKVMPendingReadSurvives(t *testing.T) {
	dev := &device{}
	loop := program(readDevice, count, compare)
	code := program(loop, []byte{0x74, byte(-(len(loop) + 2))}, end) // je loop
	g := newGuest(t, 1, cpu.PVH, code...)
	must(t, g.mmio.Attach("device", deviceAt, 0x1000, dev))
	g.start()
	for move := range 10 {
		for reads := dev.reads.Load(); dev.reads.Load() < reads+50; {
			select {
			case <-g.set.Done():
				t.Fatalf("move %d: the guest got %d different reads, the device made %d", move, g.counter(), dev.reads.Load())
			default:
			}
		}
		must(t, g.set.Pause(context.Background()))
		if guest, device := g.counter(), uint64(dev.reads.Load()); guest+1 < device || guest > device {
			t.Fatalf("move %d: paused with %d reads in the guest, %d of the device", move, guest, device)
		}
		state, err := g.set.Save()
		must(t, err)
		next := newMachine(t, 1, g.ram)
		must(t, next.mmio.Attach("device", deviceAt, 0x1000, dev))
		must(t, next.set.Load(state))
		next.start()
		g = next
	}
}

func TestKVMLoadRefusesBadState(t *testing.T) {
	source := newGuest(t, 1, cpu.PVH, spin...)
	good, err := source.set.Save()
	must(t, err)
	for name, change := range map[string]func(*savedState){
		"no vCPU":          func(s *savedState) { s.VCPUs = nil },
		"two vCPUs":        func(s *savedState) { s.VCPUs = append(s.VCPUs, s.VCPUs[0]) },
		"no chips":         func(s *savedState) { s.Chips = nil },
		"wrong chips":      func(s *savedState) { s.Chips[0].ChipID = 2 },
		"XSAVE too long":   func(s *savedState) { s.VCPUs[0].XSAVE = make([]byte, 1<<17) },
		"XSAVE of junk":    func(s *savedState) { s.VCPUs[0].XSAVE = bytes.Repeat([]byte{0xff}, 4096) },
		"too many MSRs":    func(s *savedState) { s.VCPUs[0].MSRs = make([]kvm.MSREntry, maxMSRs+1) },
		"MSR out of range": func(s *savedState) { s.VCPUs[0].MSRs = []kvm.MSREntry{{Index: 0xdeadbeef, Data: 1}} },
		"too much CPUID":   func(s *savedState) { s.VCPUs[0].CPUID = make([]kvm.CPUIDEntry2, 300) },
		"no such MP state": func(s *savedState) { s.VCPUs[0].MPState = 99 },
		"control register": func(s *savedState) { s.VCPUs[0].Sregs.CR4 = 1 << 63 },
		"strange TSC":      func(s *savedState) { s.TSCKHz = -5 },
		"fast TSC":         func(s *savedState) { s.TSCKHz = 1 << 62 },
	} {
		t.Run(name, func(t *testing.T) {
			var s savedState
			must(t, virtio.DecodeState(good, stateVersion, &s))
			change(&s)
			bad, err := virtio.EncodeState(stateVersion, s)
			must(t, err)
			target := newMachine(t, 1, nil)
			if err := target.set.Load(bad); !errors.Is(err, virtio.ErrState) {
				t.Errorf("Load = %v", err)
			}
		})
	}
	for name, bad := range map[string]string{"empty": "", "other version": `{"version":99,"data":{}}`, "unknown field": `{"version":1,"data":{"X":1}}`} {
		if err := newMachine(t, 1, nil).set.Load([]byte(bad)); !errors.Is(err, virtio.ErrState) {
			t.Errorf("%s: Load = %v", name, err)
		}
	}
	target := newMachine(t, 1, nil)
	must(t, target.set.Load(good))
	must(t, target.set.Close())
	if err := target.set.Load(good); !errors.Is(err, ErrEnded) {
		t.Errorf("Load after Close: %v", err)
	}
}

// FuzzState feeds what a snapshot's file could hold to the part of Load that judges it.
func FuzzState(f *testing.F) {
	good, err := virtio.EncodeState(stateVersion, savedState{VCPUs: make([]savedVCPU, 1), Chips: make([]kvm.IRQChip, 3)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1,"data":{"TSCKHz":-1}}`))
	f.Fuzz(func(t *testing.T, state []byte) {
		var s savedState
		if virtio.DecodeState(state, stateVersion, &s) != nil {
			return
		}
		if s.check(1) == nil && (len(s.VCPUs) != 1 || len(s.Chips) != len(chips)) {
			t.Errorf("accepted %+v", s)
		}
		for _, v := range s.VCPUs {
			if fitted, err := fitXSAVE(v.XSAVE, 4096); err == nil && len(fitted) != 4096 {
				t.Errorf("%d bytes of XSAVE", len(fitted))
			}
		}
	})
}
