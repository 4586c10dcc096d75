package cpu

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/virtio"
)

func newMemory(t *testing.T, size int) *virtio.Memory {
	t.Helper()
	m, err := virtio.NewMemory(virtio.Region{Data: make([]byte, size)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestPVH goes through what Xen's ABI demands of the CPU (docs/misc/pvh.pandoc).
func TestPVH(t *testing.T) {
	e := Entry{PVH, 0x1000200}
	r := e.regs()
	if r.RIP != 0x1000200 || r.RBX != layout.StartInfo {
		t.Errorf("registers are %+v", r)
	}
	const vm, interrupts, trap = 1 << 17, 1 << 9, 1 << 8
	if r.RFLAGS&(vm|interrupts|trap) != 0 {
		t.Errorf("RFLAGS are %#x", r.RFLAGS)
	}
	s := afterReset()
	e.setSregs(&s)
	if s.CR0 != cr0PE|cr0ET || s.CR4 != 0 || s.EFER != 0 {
		t.Errorf("CR0 %#x, CR4 %#x, EFER %#x", s.CR0, s.CR4, s.EFER)
	}
	for name, seg := range map[string]kvm.Segment{"cs": s.CS, "ds": s.DS, "es": s.ES, "ss": s.SS} {
		if seg.Base != 0 || seg.Limit != 0xffffffff || seg.DB != 1 || seg.L != 0 || seg.Present != 1 || seg.S != 1 || seg.G != 1 {
			t.Errorf("%s is %+v", name, seg)
		}
	}
	if s.CS.Type&0xa != 0xa || s.DS.Type&0xa != 0x2 {
		t.Errorf("code is of type %#x, data of %#x", s.CS.Type, s.DS.Type)
	}
	if s.TR.Base != 0 || s.TR.Limit != 0x67 || s.TR.Type != 0xb || s.TR.S != 0 {
		t.Errorf("tr is %+v", s.TR)
	}
}

// TestLinux64 goes through what boot.rst demands of the CPU.
func TestLinux64(t *testing.T) {
	e := Entry{Linux64, 0x100200}
	r := e.regs()
	if r.RIP != 0x100200 || r.RSI != layout.ZeroPage || r.RFLAGS&(1<<9) != 0 {
		t.Errorf("registers are %+v", r)
	}
	s := afterReset()
	e.setSregs(&s)
	if s.CR0&(cr0PE|cr0PG) != cr0PE|cr0PG || s.CR4&cr4PAE == 0 || s.EFER != eferLME|eferLMA || s.CR3 != layout.PageTables {
		t.Errorf("CR0 %#x, CR4 %#x, EFER %#x, CR3 %#x", s.CR0, s.CR4, s.EFER, s.CR3)
	}
	if s.CS.Selector != 0x10 || s.CS.L != 1 || s.CS.DB != 0 || s.DS.Selector != 0x18 || s.ES.Selector != 0x18 || s.SS.Selector != 0x18 {
		t.Errorf("cs %+v, ds %+v", s.CS, s.DS)
	}
	if s.APICBase != 0xfee00900 {
		t.Error("the APIC's base was changed")
	}
}

// afterReset is what KVM_GET_SREGS returns of a new vCPU, as far as it matters here.
func afterReset() kvm.Sregs {
	return kvm.Sregs{CR0: 0x60000010, APICBase: 0xfee00900, CS: kvm.Segment{Selector: 0xf000, Base: 0xffff0000, Limit: 0xffff}}
}

// TestGDT has descriptors that were packed by hand.
func TestGDT(t *testing.T) {
	for _, c := range []struct {
		protocol Protocol
		code     uint64
	}{{PVH, 0x00cf9b000000ffff}, {Linux64, 0x00af9b000000ffff}} {
		mem := newMemory(t, 1<<20)
		if err := (Entry{c.protocol, 0}).Tables(mem); err != nil {
			t.Fatal(err)
		}
		want := []uint64{0, 0, c.code, 0x00cf93000000ffff, 0x00008b0000000067, 0}
		for i, w := range want {
			if got := load(t, mem, layout.GDT+uint64(i)*8); got != w {
				t.Errorf("protocol %d: descriptor %d is %#016x, want %#016x", c.protocol, i, got, w)
			}
		}
		if got := descriptor(kvm.Segment{Base: 0x12345678, Limit: 0xabcde, DPL: 3, Present: 1, S: 1, Type: 2, AVL: 1}); got != 0x121af2345678bcde {
			t.Errorf("descriptor with all fields is %#016x", got)
		}
	}
}

// TestPageTables walks them as the CPU does, for addresses all over the first 4 GiB and beyond.
func TestPageTables(t *testing.T) {
	mem := newMemory(t, 1<<20)
	if err := (Entry{Linux64, 0}).Tables(mem); err != nil {
		t.Fatal(err)
	}
	for _, linear := range []uint64{0, 0x1000, 0x1fffff, 0x200000, 0x3fffffff, 0x40000000, 0x7fffffff, 0xc0001050, 0xfee00020, 0xffffffff} {
		if got, ok := walk(t, mem, linear); !ok || got != linear {
			t.Errorf("%#x is mapped to %#x, %v", linear, got, ok)
		}
	}
	for _, linear := range []uint64{1 << 32, 1 << 38, 1 << 39, 1<<48 - 1} {
		if got, ok := walk(t, mem, linear); ok {
			t.Errorf("%#x is mapped to %#x", linear, got)
		}
	}
}

func walk(t *testing.T, mem *virtio.Memory, linear uint64) (uint64, bool) {
	t.Helper()
	table := uint64(layout.PageTables)
	for shift := uint64(39); ; shift -= 9 {
		entry := load(t, mem, table+linear>>shift&0x1ff*8)
		if entry&pagePresent == 0 || entry&pageWritable == 0 {
			return 0, false
		}
		if entry&pageLarge != 0 {
			return entry&^0xfff + linear&(1<<shift-1), shift == 21
		}
		if shift == 21 {
			return 0, false
		}
		table = entry &^ 0xfff
	}
}

func load(t *testing.T, mem *virtio.Memory, addr uint64) uint64 {
	t.Helper()
	var p [8]byte
	if err := mem.ReadAt(p[:], addr); err != nil {
		t.Fatal(err)
	}
	return binary.LittleEndian.Uint64(p[:])
}

func TestTablesNeedMemory(t *testing.T) {
	for _, size := range []int{8, layout.PageTables} {
		if err := (Entry{Linux64, 0}).Tables(newMemory(t, size)); !errors.Is(err, virtio.ErrAddress) {
			t.Errorf("%d bytes of memory: %v", size, err)
		}
	}
}
