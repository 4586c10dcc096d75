package virtio_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
)

func TestNewMemoryRefusesBadRegions(t *testing.T) {
	b := make([]byte, 64)
	for name, regions := range map[string][]virtio.Region{
		"empty":             {{Base: 0}},
		"overlap":           {{Base: 0, Data: b[:32]}, {Base: 24, Data: b[32:]}},
		"same":              {{Base: 8, Data: b[:32]}, {Base: 8, Data: b[32:]}},
		"wraps":             {{Base: math.MaxUint64 - 15, Data: b[:32]}},
		"base unaligned":    {{Base: 4, Data: b[:32]}},
		"length unaligned":  {{Base: 0, Data: b[:31]}},
		"address unaligned": {{Base: 0, Data: b[4:36]}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := virtio.NewMemory(regions...); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestMemoryBounds(t *testing.T) {
	low, next, high := make([]byte, 64), make([]byte, 64), make([]byte, 64)
	m, err := virtio.NewMemory(
		virtio.Region{Base: 0x1000, Data: high},
		virtio.Region{Base: 0x100, Data: low},
		virtio.Region{Base: 0x140, Data: next},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr, n uint64
		ok      bool
	}{
		{0x100, 64, true}, {0x13f, 1, true}, {0x1000, 64, true},
		{0x100, 0, false}, {0x100, 65, false}, {0xff, 1, false}, {0x180, 1, false},
		{0x103f, 2, false}, {0x1040, 1, false}, {0, 1, false},
		{0x110, math.MaxUint64, false}, {math.MaxUint64, 1, false}, {math.MaxUint64, math.MaxUint64, false},
		{0x13f, math.MaxUint64 - 0x13e, false},
	} {
		b, err := m.Slice(c.addr, c.n)
		if (err == nil) != c.ok || c.ok && (uint64(len(b)) != c.n || uint64(cap(b)) != c.n) {
			t.Errorf("Slice(%#x, %#x) = %d bytes of %d, %v", c.addr, c.n, len(b), cap(b), err)
		}
		if err != nil && !errors.Is(err, virtio.ErrAddress) {
			t.Errorf("Slice(%#x, %#x): %v is no ErrAddress", c.addr, c.n, err)
		}
	}

	// A copy may cross regions that adjoin, and is all or nothing where they do not.
	want := bytes.Repeat([]byte{7}, 100)
	if err := m.WriteAt(want, 0x110); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	if err := m.ReadAt(got, 0x110); err != nil || !bytes.Equal(got, want) {
		t.Errorf("ReadAt = %x, %v", got, err)
	}
	if err := m.WriteAt(bytes.Repeat([]byte{9}, 65), 0x140); err == nil || next[0] == 9 {
		t.Errorf("a write past the end: %v, first byte %d", err, next[0])
	}
}

func TestMemoryAddress(t *testing.T) {
	data := make([]byte, 4096)
	m, err := virtio.NewMemory(virtio.Region{Base: 0x10000, Data: data[:2048]}, virtio.Region{Base: 0x20000, Data: data[2048:]})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b    []byte
		addr uint64
		ok   bool
	}{
		"first":   {data[:1], 0x10000, true},
		"inside":  {data[100:200], 0x10064, true},
		"second":  {data[2048:], 0x20000, true},
		"last":    {data[4095:], 0x207ff, true},
		"foreign": {make([]byte, 8), 0, false},
		"empty":   {data[:0], 0, false},
	} {
		if addr, ok := m.Address(c.b); addr != c.addr || ok != c.ok {
			t.Errorf("%s: %#x, %v", name, addr, ok)
		}
	}
}
