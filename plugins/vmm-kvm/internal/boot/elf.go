package boot

import (
	"bytes"
	"debug/elf"
	"math"
	"slices"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/cpu"
	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
)

// Offsets and sizes of ELF64 structures, which package elf defines as Header64 and Prog64. Its reader is not used: it goes through
// sections too, which a kernel does not need and a hostile file has millions of.
const (
	elfHeaderSize = 64
	elfType       = 16
	elfMachine    = 18
	elfEntry      = 24
	elfProgTable  = 32
	elfProgSizeAt = 54
	elfProgCount  = 56

	progSize = 56
	maxProgs = 64
)

// commandLineMax is COMMAND_LINE_SIZE of Linux on x86, without the zero.
const commandLineMax = 2047

func isELF(head []byte) bool { return bytes.HasPrefix(head, []byte(elf.ELFMAG)) }

// program is what an ELF file says about its place in memory.
type program struct {
	loads, notes []segment
	entry        uint64
	kernelSpace  bool // it is linked to run in the upper half of the address space
}

// segment is a program header.
type segment struct {
	offset, fileSize uint64
	address, memSize uint64 // physical address
}

func (s segment) holds(address uint64) bool {
	return address >= s.address && address-s.address < s.memSize
}

// elf loads a vmlinux.
func (l *loader) elf(f *file, head []byte) (kernel, error) {
	if len(head) < elfHeaderSize {
		return kernel{}, truncated(f.size, elfHeaderSize)
	}
	if err := checkELF(head); err != nil {
		return kernel{}, err
	}
	p, err := readProgram(f, head)
	if err != nil {
		return kernel{}, err
	}
	end, err := l.fit(f, p.loads)
	if err != nil {
		return kernel{}, err
	}
	entry, err := p.findEntry(f)
	if err != nil {
		return kernel{}, err
	}
	for _, s := range p.loads { // what follows fileSize up to memSize is zero already
		if err := f.load(l.mem, s.address, int64(s.offset), s.fileSize); err != nil {
			return kernel{}, err
		}
	}
	return kernel{entry: entry, end: end, initrdEnd: layout.LowMemoryEnd, commandLine: commandLineMax}, nil
}

func checkELF(head []byte) error {
	what := ""
	switch machine := elf.Machine(le.Uint16(head[elfMachine:])); {
	case elf.Data(head[elf.EI_DATA]) != elf.ELFDATA2LSB:
		what = "a big-endian ELF file"
	case elf.Class(head[elf.EI_CLASS]) != elf.ELFCLASS64:
		what = "a 32-bit ELF file"
	case machine != elf.EM_X86_64:
		what = "an ELF file for another machine, " + machine.String()
	default:
		if t := elf.Type(le.Uint16(head[elfType:])); t == elf.ET_EXEC || t == elf.ET_DYN {
			return nil
		}
		what = "an ELF file, but not a linked kernel (a module or an object file?)"
	}
	return invalid("it is %s; a 64-bit x86 kernel is needed", what).WithReason(notKernel).WithRemedy(nameKernel)
}

func readProgram(f *file, head []byte) (program, error) {
	count, size := int(le.Uint16(head[elfProgCount:])), le.Uint16(head[elfProgSizeAt:])
	if count == 0 || count > maxProgs || size != progSize {
		return program{}, damaged("it has %d program headers of %d bytes", count, size)
	}
	table, offset := make([]byte, count*progSize), le.Uint64(head[elfProgTable:])
	if need := sum(offset, uint64(len(table))); need > uint64(f.size) {
		return program{}, truncated(f.size, need)
	}
	if err := f.readAt(table, int64(offset)); err != nil {
		return program{}, err
	}
	p := program{entry: le.Uint64(head[elfEntry:])}
	for header := range slices.Chunk(table, progSize) {
		s := segment{
			offset: le.Uint64(header[8:]), fileSize: le.Uint64(header[32:]),
			address: le.Uint64(header[24:]), memSize: le.Uint64(header[40:]),
		}
		switch elf.ProgType(le.Uint32(header)) {
		case elf.PT_LOAD:
			p.kernelSpace = p.kernelSpace || le.Uint64(header[16:])>>63 == 1
			p.loads = append(p.loads, s)
		case elf.PT_NOTE:
			p.notes = append(p.notes, s)
		}
	}
	return p, nil
}

// fit checks that the file has the segments and memory has room for them, and returns where the last of them ends.
func (l *loader) fit(f *file, loads []segment) (end uint64, err error) {
	for _, s := range loads {
		if need := sum(s.offset, s.fileSize); need > uint64(f.size) {
			return 0, truncated(f.size, need)
		}
		if s.memSize == 0 {
			continue
		}
		if s.fileSize > s.memSize || s.address < layout.HighMemory {
			return 0, damaged("a segment of %#x bytes is to be loaded into %#x bytes at %#x", s.fileSize, s.memSize, s.address)
		}
		end = max(end, sum(s.address, s.memSize))
	}
	switch {
	case end == 0:
		return 0, damaged("nothing is to be loaded")
	case end > layout.LowMemoryEnd:
		return 0, damaged("it is to be loaded up to %#x, beyond %#x", end, uint64(layout.LowMemoryEnd))
	case end > l.end:
		return 0, l.tooSmall("it", end)
	}
	return end, nil
}

// findEntry prefers PVH: it needs no page tables, and the note says for certain that the file is a kernel.
func (p program) findEntry(f *file) (cpu.Entry, error) {
	entry, found, err := p.pvhEntry(f)
	if err != nil {
		return cpu.Entry{}, err
	}
	if found && p.loaded(entry) && entry <= math.MaxUint32 {
		return cpu.Entry{Protocol: cpu.PVH, Addr: entry}, nil
	}
	if !found && !p.kernelSpace {
		return cpu.Entry{}, invalid("it is a program, not a kernel").WithReason(notKernel).WithRemedy(nameKernel)
	}
	if p.loaded(p.entry) {
		return cpu.Entry{Protocol: cpu.Linux64, Addr: p.entry}, nil
	}
	pvh := "it has no note that names a PVH entry"
	if found {
		pvh = "the note of its PVH entry names an address that it does not load"
	}
	return cpu.Entry{}, invalid("%s, and its 64-bit entry %#x lies outside what it loads", pvh, p.entry).
		WithReason("kernel_no_entry").WithRemedy("build the kernel with CONFIG_PVH=y, or use its bzImage")
}

func (p program) loaded(address uint64) bool {
	return slices.ContainsFunc(p.loads, func(s segment) bool { return s.holds(address) })
}

// sum adds without wrapping around.
func sum(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
