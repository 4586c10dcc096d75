package bus

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"
)

// Handler is a device's registers. Several vCPUs may call it at once. p has the width of the access, 1 to 8 bytes on an address
// bus and 1, 2 or 4 on a port bus, and lies in the range that the device was attached with; it is only valid during the call.
type Handler interface {
	// Read fills p with what stands at offset.
	Read(offset uint64, p []byte)
	// Write takes p for what stands at offset.
	Write(offset uint64, p []byte)
}

// Bus finds the handler of an address. The zero value is a bus without devices.
type Bus struct {
	ranges    []*window // sorted by base
	unclaimed counts
}

// window is the part of a bus that a device answers for.
type window struct {
	base, size uint64
	name       string
	handler    Handler
	counts     counts
}

type counts struct{ reads, writes atomic.Uint64 }

// Attach gives the size addresses from base on to h, as long as nobody else has any of them. A name may be used for several
// ranges, whose accesses are then counted together. Attach must not be called while the bus is in use.
func (b *Bus) Attach(name string, base, size uint64, h Handler) error {
	if size == 0 || base+size-1 < base {
		return fmt.Errorf("%s: %#x addresses at %#x are no range", name, size, base)
	}
	at, taken := slices.BinarySearchFunc(b.ranges, base, func(w *window, base uint64) int { return cmp.Compare(w.base, base) })
	switch {
	case taken:
	case at > 0 && b.ranges[at-1].last() >= base:
		at--
		taken = true
	case at < len(b.ranges) && b.ranges[at].base <= base+size-1:
		taken = true
	}
	if taken {
		return fmt.Errorf("%s: %#x addresses at %#x overlap those of %s at %#x", name, size, base, b.ranges[at].name, b.ranges[at].base)
	}
	b.ranges = slices.Insert(b.ranges, at, &window{base: base, size: size, name: name, handler: h})
	return nil
}

// last returns the highest address; base+size could be one more than there are.
func (w *window) last() uint64 { return w.base + w.size - 1 }

// find returns the range that holds all n addresses from addr on, or nil.
func (b *Bus) find(addr, n uint64) *window {
	low, high := 0, len(b.ranges)
	for low < high {
		mid := int(uint(low+high) / 2)
		if b.ranges[mid].base <= addr {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == 0 {
		return nil
	}
	w := b.ranges[low-1]
	if offset := addr - w.base; offset >= w.size || n > w.size-offset {
		return nil
	}
	return w
}

// Read reads len(p) bytes at addr. Where no device answers for all of them, all bits are set, as on an open bus.
func (b *Bus) Read(addr uint64, p []byte) {
	w := b.find(addr, uint64(len(p)))
	if w == nil {
		b.unclaimed.reads.Add(1)
		for i := range p {
			p[i] = 0xff
		}
		return
	}
	w.counts.reads.Add(1)
	w.handler.Read(addr-w.base, p)
}

// Write writes p to addr. Where no device answers for all of it, nothing happens.
func (b *Bus) Write(addr uint64, p []byte) {
	w := b.find(addr, uint64(len(p)))
	if w == nil {
		b.unclaimed.writes.Add(1)
		return
	}
	w.counts.writes.Add(1)
	w.handler.Write(addr-w.base, p)
}

// Unclaimed is the name under which accesses are counted that no device answered.
const Unclaimed = "unclaimed"

// Counters returns how often each device was read and written, as "<name>.reads" and "<name>.writes".
func (b *Bus) Counters() map[string]uint64 {
	m := map[string]uint64{}
	add := func(name string, c *counts) {
		m[name+".reads"] += c.reads.Load()
		m[name+".writes"] += c.writes.Load()
	}
	for _, w := range b.ranges {
		add(w.name, &w.counts)
	}
	add(Unclaimed, &b.unclaimed)
	return m
}
