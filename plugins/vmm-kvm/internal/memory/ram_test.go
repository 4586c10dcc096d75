package memory

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/virtio"
)

const mib = 1 << 20

func newRAM(t *testing.T, size uint64, opt Options) *RAM {
	t.Helper()
	r, err := New(size, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestLayout(t *testing.T) {
	for _, c := range []struct {
		size    uint64
		regions [][2]uint64 // base, size
	}{
		{64 * mib, [][2]uint64{{0, 64 * mib}}},
		{layout.LowMemoryEnd, [][2]uint64{{0, layout.LowMemoryEnd}}},
		{layout.LowMemoryEnd + 4096, [][2]uint64{{0, layout.LowMemoryEnd}, {layout.HighMemoryBase, 4096}}},
		// Far more than this machine has: only what is touched costs anything.
		{1 << 40, [][2]uint64{{0, layout.LowMemoryEnd}, {layout.HighMemoryBase, 1<<40 - layout.LowMemoryEnd}}},
	} {
		r := newRAM(t, c.size, Options{})
		var got [][2]uint64
		for _, region := range r.Memory().Regions() {
			got = append(got, [2]uint64{region.Base, uint64(len(region.Data))})
		}
		if fmt.Sprint(got) != fmt.Sprint(c.regions) {
			t.Errorf("%d MiB: regions %#x, want %#x", c.size/mib, got, c.regions)
		}
	}
	for _, size := range []uint64{0, 1, 4095, 64*mib + 1} {
		if _, err := New(size, Options{}); err == nil {
			t.Errorf("accepted %d bytes", size)
		}
	}
}

// vma is what the kernel says about a mapping of ours.
type vma struct {
	flags string
	rss   int // KiB
}

// look finds the mapping that b starts in.
func look(t *testing.T, b []byte) vma {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	address, inside, found := hostAddress(b), false, vma{}
	for line := range strings.Lines(string(smaps)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if from, to, ok := strings.Cut(name, "-"); ok {
			low, _ := strconv.ParseUint(from, 16, 64)
			high, _ := strconv.ParseUint(to, 16, 64)
			inside = address >= low && address < high
		}
		if !inside {
			continue
		}
		switch name {
		case "Rss:":
			if _, err := fmt.Sscan(value, &found.rss); err != nil {
				t.Fatal(err)
			}
		case "VmFlags:":
			found.flags = value + " "
		}
	}
	if found.flags == "" {
		t.Fatal("no such mapping")
	}
	return found
}

func TestNothingIsTouched(t *testing.T) {
	r := newRAM(t, 128*mib, Options{})
	data := r.Memory().Regions()[0].Data
	if v := look(t, data); v.rss != 0 || !strings.Contains(v.flags, " dd ") && !strings.HasPrefix(v.flags, "dd ") {
		t.Errorf("fresh memory: %d KiB resident, flags %q, which must have dd (not dumped)", v.rss, v.flags)
	}
	data[5*mib] = 1
	if v := look(t, data); v.rss == 0 || v.rss > 2048 {
		t.Errorf("after one byte was written: %d KiB resident", v.rss)
	}
}

func TestAlignedForHugePages(t *testing.T) {
	for _, huge := range []bool{false, true} {
		r := newRAM(t, 64*mib, Options{HugePages: huge})
		data := r.Memory().Regions()[0].Data
		if hostAddress(data)%hugePage != 0 {
			t.Errorf("mapped at %#x", hostAddress(data))
		}
		_, err := os.Stat("/sys/kernel/mm/transparent_hugepage")
		if v := look(t, data); err == nil && strings.Contains(v.flags, "hg") != huge {
			t.Errorf("huge pages %v: flags %q", huge, v.flags)
		}
	}
}

func TestDiscard(t *testing.T) {
	size := uint64(4 * mib)
	path := filepath.Join(t.TempDir(), "memory")
	if err := os.WriteFile(path, bytes.Repeat([]byte{0x77}, int(size)), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, c := range map[string]struct {
		opt   Options
		fresh byte
	}{"anonymous": {Options{}, 0}, "file": {Options{File: file}, 0x77}} {
		t.Run(name, func(t *testing.T) {
			r := newRAM(t, size, c.opt)
			data := r.Memory().Regions()[0].Data
			if data[0] != c.fresh || data[size-1] != c.fresh {
				t.Fatalf("memory begins as %x and ends as %x, want %x", data[0], data[size-1], c.fresh)
			}
			for i := range data {
				data[i] = 0x55
			}
			if err := r.Discard(0x3000, 0x2000); err != nil {
				t.Fatal(err)
			}
			for at, want := range map[int]byte{0x2fff: 0x55, 0x3000: 0, 0x4fff: 0, 0x5000: 0x55} {
				if data[at] != want {
					t.Errorf("byte %#x is %x after the discard, want %x", at, data[at], want)
				}
			}
			part := data[0x3000:0x5000]
			part[0] = 9
			if v := look(t, part); !strings.Contains(" "+v.flags, " dd ") {
				t.Errorf("discarded memory would be dumped: %q", v.flags)
			}
			for _, bad := range [][2]uint64{
				{0x3001, 0x1000}, {0x3000, 0x1001}, {0x3000, 0}, {size, 0x1000}, {size - 0x1000, 0x2000},
				{math.MaxUint64 - 0xfff, 0x1000}, {0x1000, math.MaxUint64 - 0xfff}, {layout.DeviceBase, 0x1000},
			} {
				if err := r.Discard(bad[0], bad[1]); !errors.Is(err, virtio.ErrAddress) {
					t.Errorf("discard %#x bytes at %#x: %v", bad[1], bad[0], err)
				}
			}
		})
	}
	if got, err := os.ReadFile(path); err != nil || bytes.Count(got, []byte{0x77}) != int(size) {
		t.Errorf("the guest's writes reached the file: %v", err)
	}
}

// TestFileOfTwoRanges has a file with a mark at the beginning of each range.
func TestFileOfTwoRanges(t *testing.T) {
	const size = layout.LowMemoryEnd + 2*mib
	file, err := os.Create(filepath.Join(t.TempDir(), "memory"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for at, mark := range map[int64]string{0: "low", layout.LowMemoryEnd: "high"} {
		if _, err := file.WriteAt([]byte(mark), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Truncate(size - 1); err != nil {
		t.Fatal(err)
	}
	if _, err := New(size, Options{File: file}); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("a file that is a byte too short: %v", err)
	}
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	r := newRAM(t, size, Options{File: file, HugePages: true})
	for addr, mark := range map[uint64]string{0: "low", layout.HighMemoryBase: "high"} {
		got := make([]byte, len(mark))
		if err := r.Memory().ReadAt(got, addr); err != nil || string(got) != mark {
			t.Errorf("%#x holds %q, %v", addr, got, err)
		}
	}
}

// TestFileIsTruncated breaks the promise that nobody truncates the file: a device that touches what is gone survives.
func TestFileIsTruncated(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "memory"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(2 * mib); err != nil {
		t.Fatal(err)
	}
	r := newRAM(t, 2*mib, Options{File: file})
	if err := file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	err = virtio.Protect(func() { r.Memory().Regions()[0].Data[0] = 1 })
	if !errors.Is(err, virtio.ErrMemoryGone) {
		t.Errorf("touching it: %v", err)
	}
	// Discarded pages do not depend on the file.
	if err := r.Discard(0, 0x1000); err != nil {
		t.Fatal(err)
	}
	if err := virtio.Protect(func() { r.Memory().Regions()[0].Data[0] = 1 }); err != nil {
		t.Errorf("touching a page that was discarded: %v", err)
	}
}

func TestCloseUnmaps(t *testing.T) {
	r, err := New(64*mib, Options{})
	if err != nil {
		t.Fatal(err)
	}
	data := r.Memory().Regions()[0].Data
	data[0] = 1
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := virtio.Protect(func() { data[0] = 2 }); err == nil {
		t.Error("memory is there after Close")
	}
	if err := r.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}
