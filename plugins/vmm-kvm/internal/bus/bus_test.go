package bus

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
)

// register answers reads with its tag and keeps the last access.
type register struct {
	tag  byte
	last string
}

func (r *register) Read(offset uint64, p []byte) {
	for i := range p {
		p[i] = r.tag
	}
	r.last = fmt.Sprintf("read %#x+%d", offset, len(p))
}

func (r *register) Write(offset uint64, p []byte) { r.last = fmt.Sprintf("write %#x %x", offset, p) }

func TestDispatch(t *testing.T) {
	var b Bus
	low, high, top := &register{tag: 1}, &register{tag: 2}, &register{tag: 3}
	attach(t, &b, "high", 0x2000, 0x1000, high)
	attach(t, &b, "low", 0x1000, 0x100, low)
	attach(t, &b, "top", math.MaxUint64-7, 8, top)
	for _, c := range []struct {
		addr uint64
		n    int
		want byte
		dev  *register
		last string
	}{
		{0x1000, 1, 1, low, "read 0x0+1"},
		{0x10fc, 4, 1, low, "read 0xfc+4"},
		{0x10ff, 1, 1, low, "read 0xff+1"},
		{0x10fd, 4, 0xff, nil, ""}, // runs out of the device
		{0x1100, 1, 0xff, nil, ""},
		{0xfff, 1, 0xff, nil, ""},
		{0xffe, 4, 0xff, nil, ""}, // runs into one
		{0, 8, 0xff, nil, ""},
		{0x1fff, 1, 0xff, nil, ""},
		{0x2000, 8, 2, high, "read 0x0+8"},
		{0x2ff8, 8, 2, high, "read 0xff8+8"},
		{0x3000, 1, 0xff, nil, ""},
		{math.MaxUint64, 1, 3, top, "read 0x7+1"},
		{math.MaxUint64 - 7, 8, 3, top, "read 0x0+8"},
		{math.MaxUint64, 2, 0xff, nil, ""}, // wraps around
	} {
		p := make([]byte, c.n)
		b.Read(c.addr, p)
		for _, got := range p {
			if got != c.want {
				t.Errorf("%d bytes at %#x read as %x, want all %x", c.n, c.addr, p, c.want)
				break
			}
		}
		if c.dev != nil && c.dev.last != c.last {
			t.Errorf("%d bytes at %#x: device saw %q, want %q", c.n, c.addr, c.dev.last, c.last)
		}
	}
	b.Write(0x2010, []byte{0xab, 0xcd})
	if high.last != "write 0x10 abcd" {
		t.Errorf("device saw %q", high.last)
	}
	b.Write(0x5000, []byte{1})
	b.Write(0x10ff, []byte{1, 2})
	want := map[string]uint64{
		"low.reads": 3, "low.writes": 0, "high.reads": 2, "high.writes": 1, "top.reads": 2, "top.writes": 0,
		"unclaimed.reads": 8, "unclaimed.writes": 2,
	}
	if got := b.Counters(); !reflect.DeepEqual(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

func TestEmptyBus(t *testing.T) {
	var b Bus
	p := []byte{0, 0}
	b.Read(0, p)
	b.Write(math.MaxUint64, p)
	if p[0] != 0xff || p[1] != 0xff {
		t.Errorf("read %x", p)
	}
}

func TestAttachRefusesWhatOverlaps(t *testing.T) {
	for _, c := range []struct {
		base, size uint64
		ok         bool
	}{
		{0x1000, 0x100, false}, {0x1010, 1, false}, {0xfff, 2, false}, {0x10ff, 1, false}, {0, 0x2000, false},
		{0x900, 0x700, true}, {0x1100, 0x100, true}, {0xfff, 1, true}, {0, math.MaxUint64, false},
		{0, 0, false}, {math.MaxUint64, 2, false}, {math.MaxUint64, 1, true},
	} {
		var b Bus
		attach(t, &b, "there", 0x1000, 0x100, &register{})
		if err := b.Attach("new", c.base, c.size, &register{}); (err == nil) != c.ok {
			t.Errorf("%#x addresses at %#x: %v", c.size, c.base, err)
		}
	}
}

// TestAgainstSearch compares dispatch with a walk through all ranges.
func TestAgainstSearch(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var b Bus
		var ranges []*window
		for i := range 20 {
			w := &window{base: random.Uint64N(1000), size: 1 + random.Uint64N(60), handler: &register{tag: byte(i)}}
			overlaps := false
			for _, other := range ranges {
				overlaps = overlaps || w.base < other.base+other.size && other.base < w.base+w.size
			}
			if err := b.Attach("x", w.base, w.size, w.handler); (err != nil) != overlaps {
				t.Fatalf("attach %#x+%#x: %v", w.base, w.size, err)
			}
			if !overlaps {
				ranges = append(ranges, w)
			}
		}
		for addr := range uint64(1100) {
			for _, n := range []uint64{1, 2, 4, 8} {
				var want Handler
				for _, w := range ranges {
					if addr >= w.base && addr+n <= w.base+w.size {
						want = w.handler
					}
				}
				got := b.find(addr, n)
				if got == nil && want != nil || got != nil && got.handler != want {
					t.Fatalf("%d bytes at %#x find the wrong device", n, addr)
				}
			}
		}
	}
}

type silent struct{}

func (silent) Read(uint64, []byte)  {}
func (silent) Write(uint64, []byte) {}

func full(t testing.TB) *Bus {
	b := &Bus{}
	for i := range uint64(20) {
		attach(t, b, fmt.Sprintf("device%d", i), i*0x1000, 0x1000, silent{})
	}
	return b
}

func TestDispatchAllocatesNothing(t *testing.T) {
	b := full(t)
	p := make([]byte, 8)
	if n := testing.AllocsPerRun(100, func() {
		b.Read(0x5050, p)
		b.Write(0x13000, p)
		b.Read(0xffff0000, p)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSeveralCPUs is for the race detector.
func TestSeveralCPUs(t *testing.T) {
	b := full(t)
	var cpus sync.WaitGroup
	for range 4 {
		cpus.Go(func() {
			p := make([]byte, 4)
			for i := range uint64(1000) {
				b.Read(i*0x10, p)
				b.Write(i*0x10, p)
			}
			_ = b.Counters()
		})
	}
	cpus.Wait()
	if c := b.Counters(); c["device0.reads"] != 4*256 {
		t.Errorf("counted %v", c)
	}
}

func BenchmarkDispatch(b *testing.B) {
	bus := full(b)
	p := make([]byte, 4)
	for b.Loop() {
		bus.Read(0x5050, p)
	}
}

func attach(t testing.TB, b *Bus, name string, base, size uint64, h Handler) {
	t.Helper()
	if err := b.Attach(name, base, size, h); err != nil {
		t.Fatal(err)
	}
}
