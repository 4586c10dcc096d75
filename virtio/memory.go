package virtio

import (
	"errors"
	"fmt"
	"slices"
)

// ErrAddress is wrapped by errors about addresses that guest memory does not hold.
var ErrAddress = errors.New("outside guest memory")

// regionAlign is demanded of every region's guest address, host address and length, so that an aligned
// 32-bit word around any ring field lies in the same region.
const regionAlign = 8

// Region is a piece of guest-physical memory: guest address Base+i is Data[i].
type Region struct {
	Base uint64
	Data []byte
}

func (r Region) end() uint64 { return r.Base + uint64(len(r.Data)) }

// Memory is guest-physical memory: regions that do not overlap, sorted by address. It is immutable, and
// does not own the bytes: whoever mapped them unmaps them, after all devices have stopped.
type Memory struct {
	regions []Region
}

// NewMemory builds guest memory from regions in any order. Each must be aligned to 8 bytes at both its
// guest and its host address, have a length that is a positive multiple of 8, and overlap no other.
// Real guests pass mappings; tests may pass plain byte slices.
func NewMemory(regions ...Region) (*Memory, error) {
	sorted := slices.Clone(regions)
	slices.SortFunc(sorted, func(a, b Region) int {
		switch {
		case a.Base < b.Base:
			return -1
		case a.Base > b.Base:
			return 1
		}
		return 0
	})
	for i, r := range sorted {
		if err := r.check(); err != nil {
			return nil, err
		}
		if i > 0 && sorted[i-1].end() > r.Base {
			return nil, fmt.Errorf("guest memory at %#x overlaps the region at %#x", r.Base, sorted[i-1].Base)
		}
	}
	return &Memory{regions: sorted}, nil
}

func (r Region) check() error {
	n := uint64(len(r.Data))
	switch {
	case n == 0:
		return fmt.Errorf("guest memory at %#x is empty", r.Base)
	case r.Base+n < r.Base:
		return fmt.Errorf("guest memory at %#x of %#x bytes wraps around", r.Base, n)
	case r.Base%regionAlign != 0, n%regionAlign != 0, hostAddress(r.Data)%regionAlign != 0:
		return fmt.Errorf("guest memory at %#x of %#x bytes is not aligned to %d", r.Base, n, regionAlign)
	}
	return nil
}

// Regions returns the regions in ascending order of address; the caller must not change them.
func (m *Memory) Regions() []Region { return m.regions }

// find returns the region that holds addr, or nil.
func (m *Memory) find(addr uint64) *Region {
	for i := range m.regions {
		r := &m.regions[i]
		if addr >= r.Base && addr-r.Base < uint64(len(r.Data)) {
			return r
		}
	}
	return nil
}

// Slice returns the n bytes of guest memory at addr. They must lie in one region; n of 0 is an error,
// since no ring structure is empty.
func (m *Memory) Slice(addr, n uint64) ([]byte, error) {
	r := m.find(addr)
	if r == nil || n == 0 {
		return nil, fmt.Errorf("%#x bytes at %#x: %w", n, addr, ErrAddress)
	}
	off := addr - r.Base
	if n > uint64(len(r.Data))-off {
		return nil, fmt.Errorf("%#x bytes at %#x: %w", n, addr, ErrAddress)
	}
	return r.Data[off : off+n : off+n], nil
}

// Address returns the guest address of b, which Slice returned or a Chain of this memory holds; false for any other bytes.
func (m *Memory) Address(b []byte) (addr uint64, ok bool) {
	if len(b) == 0 {
		return 0, false
	}
	at := hostAddress(b)
	for i := range m.regions {
		r := &m.regions[i]
		start := hostAddress(r.Data)
		if at >= start && uint64(at-start) < uint64(len(r.Data)) {
			return r.Base + uint64(at-start), true
		}
	}
	return 0, false
}

// appendSlices appends the n bytes at addr to dst, as one slice for each region that they touch: a
// driver's buffer may cross regions that adjoin.
func (m *Memory) appendSlices(dst Segments, addr uint64, n uint32) (Segments, error) {
	left := uint64(n)
	for left > 0 {
		r := m.find(addr)
		if r == nil {
			return dst, fmt.Errorf("%#x bytes at %#x: %w", n, addr, ErrAddress)
		}
		off := addr - r.Base
		size := min(uint64(len(r.Data))-off, left)
		part := r.Data[off : off+size : off+size]
		dst = append(dst, part)
		left -= uint64(len(part))
		addr += uint64(len(part))
	}
	return dst, nil
}

// ReadAt copies len(p) bytes of guest memory at addr into p.
func (m *Memory) ReadAt(p []byte, addr uint64) error {
	return m.transfer(addr, len(p), func(at int, guest []byte) { copy(p[at:], guest) })
}

// WriteAt copies p into guest memory at addr. Nothing is written when a byte of it would fall outside.
func (m *Memory) WriteAt(p []byte, addr uint64) error {
	return m.transfer(addr, len(p), func(at int, guest []byte) { copy(guest, p[at:]) })
}

func (m *Memory) transfer(addr uint64, n int, move func(at int, guest []byte)) error {
	if uint64(n) > 1<<32-1 {
		return fmt.Errorf("%#x bytes at %#x: more than 4 GiB", n, addr)
	}
	segs, err := m.appendSlices(nil, addr, uint32(n))
	if err != nil {
		return err
	}
	at := 0
	for _, s := range segs {
		move(at, s)
		at += len(s)
	}
	return nil
}
