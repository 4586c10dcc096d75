package boot

import (
	"bytes"
	"debug/elf"
	"math"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/cpu"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/virtio"
)

const testRSDP = layout.BIOSArea

// expect checks that memory at address holds want.
func expect(t *testing.T, mem *virtio.Memory, what string, address uint64, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if err := mem.ReadAt(got, address); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s at %#x: %.80q, want %.80q", what, address, got, want)
	}
}

func words32(values ...uint32) (b []byte) {
	for _, v := range values {
		b = le.AppendUint32(b, v)
	}
	return b
}

func words64(values ...uint64) (b []byte) {
	for _, v := range values {
		b = le.AppendUint64(b, v)
	}
	return b
}

// Two archives, the first of which needs padding.
func testInitrd(t *testing.T) (segments []vmm.Segment, joined string) {
	path := writeFile(t, []byte("first archive"))
	return []vmm.Segment{{Path: path}, {Content: []byte("second")}}, "first archive\x00\x00\x00second"
}

func TestPVH(t *testing.T) {
	mem := newMemory(t, 64*mib)
	initrd, joined := testInitrd(t)
	entry, err := Load(mem, Config{
		Kernel: writeFile(t, newELF().bytes()), Initrd: initrd, CommandLine: "console=ttyS0", RSDP: testRSDP,
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := (cpu.Entry{Protocol: cpu.PVH, Addr: textAt + 0x40}); entry != want {
		t.Errorf("entry %+v, want %+v", entry, want)
	}
	for _, p := range newELF().parts[:2] {
		expect(t, mem, "segment", p.address, p.data)
	}
	expect(t, mem, "command line", layout.CommandLine, []byte("console=ttyS0\x00"))

	initrdAt := uint64(64*mib - 4096)
	expect(t, mem, "initrd", initrdAt, []byte(joined))
	const modules, memoryMap = layout.StartInfo + 56, layout.StartInfo + 56 + 32
	expect(t, mem, "start info", layout.StartInfo, bytes.Join([][]byte{
		words32(0x336ec578, 1, 0, 1), words64(modules, layout.CommandLine, testRSDP, memoryMap), words32(4, 0),
	}, nil))
	expect(t, mem, "module", modules, words64(initrdAt, uint64(len(joined)), 0, 0))
	expect(t, mem, "memory map", memoryMap, words64(
		0, 0x9fc00, usable,
		0xe0000, 0x20000, reserved,
		mib, 63*mib, usable,
		0xfffbc000, 0x4000, reserved,
	))
}

func TestBzImage(t *testing.T) {
	mem := newMemory(t, 64*mib)
	initrd, joined := testInitrd(t)
	image := newBzImage()
	entry, err := Load(mem, Config{Kernel: writeFile(t, image), Initrd: initrd, CommandLine: "quiet", RSDP: testRSDP})
	if err != nil {
		t.Fatal(err)
	}
	if want := (cpu.Entry{Protocol: cpu.Linux64, Addr: textAt + 0x200}); entry != want {
		t.Errorf("entry %+v, want %+v", entry, want)
	}
	expect(t, mem, "kernel", textAt, image[4*512:])
	expect(t, mem, "command line", layout.CommandLine, []byte("quiet\x00"))
	initrdAt := uint32(64*mib - 4096)
	expect(t, mem, "initrd", uint64(initrdAt), []byte(joined))

	const zero = layout.ZeroPage
	expect(t, mem, "setup header", zero+setupSysSize, image[setupSysSize:setupLoader])
	expect(t, mem, "rest of it", zero+setupCommandLine+4, image[setupCommandLine+4:setupMagic+0x6a])
	expect(t, mem, "type_of_loader", zero+0x210, []byte{0xff})
	expect(t, mem, "ramdisk_image, ramdisk_size", zero+0x218, words32(initrdAt, uint32(len(joined))))
	expect(t, mem, "cmd_line_ptr", zero+0x228, words32(layout.CommandLine))
	expect(t, mem, "acpi_rsdp_addr", zero+0x070, words64(testRSDP))
	expect(t, mem, "ext_ramdisk_image, ext_ramdisk_size, ext_cmd_line_ptr", zero+0x0c0, words32(0, 0, 0))
	expect(t, mem, "sentinel", zero+0x1ef, []byte{0})
	expect(t, mem, "e820_entries", zero+0x1e8, []byte{4})
	expect(t, mem, "third entry", zero+0x2d0+2*20, append(words64(mib, 63*mib), words32(usable)...))
}

func TestELFWithoutPVHEntersIn64Bit(t *testing.T) {
	mem := newMemory(t, 64*mib)
	e := newELF()
	e.parts = e.parts[:2]
	entry, err := Load(mem, Config{Kernel: writeFile(t, e.bytes()), CommandLine: "quiet", RSDP: testRSDP})
	if err != nil {
		t.Fatal(err)
	}
	if want := (cpu.Entry{Protocol: cpu.Linux64, Addr: textAt}); entry != want {
		t.Errorf("entry %+v, want %+v", entry, want)
	}
	expect(t, mem, "boot flag", layout.ZeroPage+0x1fe, []byte{0x55, 0xaa})
	expect(t, mem, "magic", layout.ZeroPage+0x202, []byte("HdrS"))
	expect(t, mem, "no initrd", layout.ZeroPage+0x218, words32(0, 0))
}

func TestMemoryMapAroundTheGap(t *testing.T) {
	got := memoryMap(newMemory(t, 5<<30))
	want := mapEntry{base: 4 << 30, size: 2 << 30, kind: usable}
	if last := got[len(got)-1]; last != want {
		t.Errorf("ends with %+v, want %+v", last, want)
	}
	if low := got[2]; low != (mapEntry{base: mib, size: 3<<30 - mib, kind: usable}) {
		t.Errorf("low memory is %+v", low)
	}
	for i := 1; i < len(got); i++ {
		if got[i-1].base+got[i-1].size > got[i].base {
			t.Errorf("%+v overlaps %+v", got[i-1], got[i])
		}
	}
}

// A bzImage cannot see an initrd above initrd_addr_max, however much memory there is.
func TestInitrdStaysBelowTheKernelsLimit(t *testing.T) {
	mem := newMemory(t, 3<<30)
	if _, err := Load(mem, Config{Kernel: writeFile(t, newBzImage()), Initrd: []vmm.Segment{{Content: []byte("archive")}}}); err != nil {
		t.Fatal(err)
	}
	expect(t, mem, "initrd", 2<<30-4096, []byte("archive"))
}

func TestCommandLineUpToTheLimit(t *testing.T) {
	for name, image := range map[string][]byte{"PVH": newELF().bytes(), "bzImage": newBzImage()} {
		longest := strings.Repeat("x", 2047)
		mem := newMemory(t, 64*mib)
		if _, err := Load(mem, Config{Kernel: writeFile(t, image), CommandLine: longest}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		expect(t, mem, name, layout.CommandLine, []byte(longest+"\x00"))
	}
}

func TestFindPVH(t *testing.T) {
	other := note("Linux\x00", 257, []byte{1})
	for name, c := range map[string]struct {
		notes []byte
		want  uint64
		found bool
	}{
		"eight bytes":     {note("Xen\x00", 18, u64(0x1000040)), 0x1000040, true},
		"four bytes":      {note("Xen\x00", 18, []byte{0x40, 0, 0, 1}), 0x1000040, true},
		"behind another":  {append(other, note("Xen\x00", 18, u64(7))...), 7, true},
		"another's":       {note("Zen\x00", 18, u64(7)), 0, false},
		"another kind":    {note("Xen\x00", 17, u64(7)), 0, false},
		"two bytes":       {note("Xen\x00", 18, []byte{1, 2}), 0, false},
		"cut":             {note("Xen\x00", 18, u64(7))[:20], 0, false},
		"cut in a header": {other[:8], 0, false},
		"endless name":    {words32(math.MaxUint32, math.MaxUint32, 18, 0), 0, false},
		"nothing":         {nil, 0, false},
	} {
		if got, found := findPVH(c.notes); got != c.want || found != c.found {
			t.Errorf("%s: %#x, %v; want %#x, %v", name, got, found, c.want, c.found)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	e := newELF()
	e.parts[0] = fakePart{kind: elf.PT_LOAD, virtual: linkBase + textAt, address: textAt, data: make([]byte, 20*mib)}
	e.parts = []fakePart{e.parts[0], e.parts[2]}
	path, mem := writeFile(b, e.bytes()), newMemory(b, 64*mib)
	b.SetBytes(20 * mib)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load(mem, Config{Kernel: path}); err != nil {
			b.Fatal(err)
		}
	}
}
