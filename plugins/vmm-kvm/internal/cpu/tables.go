package cpu

import (
	"encoding/binary"
	"fmt"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/kvm"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/virtio"
)

const (
	gdtSize  = 6 * 8 // null, unused, code, data, and a TSS that takes two entries in long mode
	pageSize = 4096

	pagePresent  = 1 << 0
	pageWritable = 1 << 1
	pageLarge    = 1 << 7 // 2 MiB

	largePage   = 2 << 20
	directories = 4 // of 1 GiB each
)

// Tables writes what the registers of Enter point to into guest memory: the GDT, and for Linux64 page tables that map the first
// 4 GiB one to one.
func (e Entry) Tables(mem *virtio.Memory) error {
	if err := mem.WriteAt(e.gdt(), layout.GDT); err != nil {
		return fmt.Errorf("GDT: %w", err)
	}
	if e.Protocol != Linux64 {
		return nil
	}
	if err := mem.WriteAt(identityMap(layout.PageTables), layout.PageTables); err != nil {
		return fmt.Errorf("page tables: %w", err)
	}
	return nil
}

// gdt has the descriptors whose hidden parts setSregs loads, in case the kernel loads a selector before it has a GDT of its own.
func (e Entry) gdt() []byte {
	var s kvm.Sregs
	e.setSregs(&s)
	table := make([]byte, gdtSize)
	for _, segment := range []kvm.Segment{s.CS, s.DS, s.TR} {
		binary.LittleEndian.PutUint64(table[segment.Selector:], descriptor(segment))
	}
	return table
}

// descriptor packs a segment into the eight bytes that a GDT has of it: SDM volume 3, "Segment descriptors".
func descriptor(s kvm.Segment) uint64 {
	limit := uint64(s.Limit)
	if s.G != 0 {
		limit >>= 12
	}
	access := uint64(s.Type) | uint64(s.S)<<4 | uint64(s.DPL)<<5 | uint64(s.Present)<<7
	flags := uint64(s.AVL) | uint64(s.L)<<1 | uint64(s.DB)<<2 | uint64(s.G)<<3
	return limit&0xffff | s.Base&0xffffff<<16 | access<<40 | limit>>16&0xf<<48 | flags<<52 | s.Base>>24&0xff<<56
}

// identityMap returns page tables for address base: a PML4, a PDPT, and page directories with large pages.
func identityMap(base uint64) []byte {
	tables := make([]byte, (2+directories)*pageSize)
	set := func(page, entry int, value uint64) {
		binary.LittleEndian.PutUint64(tables[page*pageSize+entry*8:], value|pagePresent|pageWritable)
	}
	set(0, 0, base+pageSize)
	for d := range directories {
		set(1, d, base+uint64(2+d)*pageSize)
		for i := range pageSize / 8 {
			set(2+d, i, uint64(d)<<30|uint64(i)*largePage|pageLarge)
		}
	}
	return tables
}
