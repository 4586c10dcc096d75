package boot

import (
	"strings"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/layout"
	"github.com/voidbox-run/voidbox/virtio"
)

// mapEntry is a line of the memory map, which both protocols pass on.
type mapEntry struct {
	base, size uint64
	kind       uint32
}

// Kinds of memory (ACPI 6.5 section 15, "System Address Map Interfaces").
const (
	usable   = 1
	reserved = 2
)

// memoryMap says what of mem a kernel may use. The first megabyte keeps the shape that kernels know from PCs.
func memoryMap(mem *virtio.Memory) []mapEntry {
	var m []mapEntry
	add := func(from, to uint64, kind uint32) {
		if from < to {
			m = append(m, mapEntry{base: from, size: to - from, kind: kind})
		}
	}
	for _, r := range mem.Regions() {
		from, to := r.Base, r.Base+uint64(len(r.Data))
		if from == 0 {
			add(0, layout.LowRAMEnd, usable)
			add(layout.BIOSArea, layout.HighMemory, reserved)
			from = layout.HighMemory
		}
		add(from, to, usable)
		if r.Base == 0 { // between low RAM and the rest
			add(layout.IdentityMapPage, layout.IdentityMapPage+reservedByKVM, reserved)
		}
	}
	return m
}

// reservedByKVM is the size of the identity map's page and of the TSS behind it.
const reservedByKVM = 4 * pageSize

// handover is what both protocols tell a kernel, beside its command line.
type handover struct {
	initrd extent
	rsdp   uint64
	memory []mapEntry
	setup  []byte // of a bzImage
}

// extent is a piece of guest memory, none where its size is 0.
type extent struct{ base, size uint64 }

// startInfo writes struct hvm_start_info, version 1, with the module list and the memory map behind it
// (xen/interface/hvm/start_info.h).
func (l *loader) startInfo(h handover) error {
	const (
		magic      = 0x336ec578 // "xEn3", its top bit set
		version    = 1
		infoSize   = 56
		moduleSize = 32
		moduleAt   = layout.StartInfo + infoSize
		mapAt      = moduleAt + moduleSize
	)
	modules := uint32(0)
	if h.initrd.size > 0 {
		modules = 1
	}
	b := le.AppendUint32(nil, magic)
	for _, v := range []uint32{version, 0, modules} { // version, flags, number of modules
		b = le.AppendUint32(b, v)
	}
	for _, v := range []uint64{moduleAt, layout.CommandLine, h.rsdp, mapAt} {
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(b, uint32(len(h.memory)))
	b = le.AppendUint32(b, 0)
	for _, v := range []uint64{h.initrd.base, h.initrd.size, 0, 0} { // a module without a command line
		b = le.AppendUint64(b, v)
	}
	for _, e := range h.memory {
		b = le.AppendUint64(le.AppendUint64(b, e.base), e.size)
		b = le.AppendUint32(le.AppendUint32(b, e.kind), 0)
	}
	return l.mem.WriteAt(b, layout.StartInfo)
}

// Fields of struct boot_params beside the setup header (Documentation/x86/zero-page.rst).
const (
	paramsSize   = 4096
	paramsRSDP   = 0x070
	paramsMapLen = 0x1e8
	paramsMap    = 0x2d0
)

// bootParams writes struct boot_params, also known as the zero page.
func (l *loader) bootParams(h handover) error {
	b := make([]byte, paramsSize)
	le.PutUint16(b[setupBootFlag:], bootFlag)
	copy(b[setupMagic:], magic)
	le.PutUint16(b[setupVersion:], minVersion)
	copy(b[setupSects:], h.setup)
	b[setupLoader] = loaderUndefined
	le.PutUint32(b[setupInitrd:], uint32(h.initrd.base))
	le.PutUint32(b[setupInitrdSize:], uint32(h.initrd.size))
	le.PutUint32(b[setupCommandLine:], layout.CommandLine)
	le.PutUint64(b[paramsRSDP:], h.rsdp)
	b[paramsMapLen] = byte(len(h.memory))
	at := b[paramsMap:paramsMap]
	for _, e := range h.memory {
		at = le.AppendUint64(le.AppendUint64(at, e.base), e.size)
		at = le.AppendUint32(at, e.kind)
	}
	return l.mem.WriteAt(b, layout.ZeroPage)
}

// commandLine writes the command line.
func (l *loader) commandLine(k kernel, s string) error {
	limit := min(k.commandLine, layout.LowRAMEnd-layout.CommandLine-1)
	if n := uint64(len(s)); n > limit {
		return invalid("the kernel command line has %d bytes, this kernel takes %d", n, limit).
			WithReason("command_line_too_long").WithRemedy("shorten it, or put what programs need into files")
	}
	if at := strings.IndexByte(s, 0); at >= 0 {
		return invalid("the kernel command line has a zero byte at %d, where the kernel would end it", at)
	}
	return l.mem.WriteAt(append([]byte(s), 0), layout.CommandLine)
}
