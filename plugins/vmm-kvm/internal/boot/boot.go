package boot

import (
	"encoding/binary"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/cpu"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/virtio"
)

var le = binary.LittleEndian

// Config says what to boot.
type Config struct {
	Kernel      string        // path of an ELF vmlinux or a bzImage
	Initrd      []vmm.Segment // archives of the initramfs, in order
	CommandLine string
	RSDP        uint64 // guest address of the ACPI tables, as acpi.Load returned it
}

// Load writes all that c names into mem, which must be fresh: what a kernel expects to be zero is not written, so that pages
// that nobody uses are never touched. Errors are of the kinds of package errdef, and say what to do.
func Load(mem *virtio.Memory, c Config) (cpu.Entry, error) {
	f, err := open(c.Kernel)
	if err != nil {
		return cpu.Entry{}, about("kernel", c.Kernel, err)
	}
	defer f.close()
	initrd, err := openInitrd(c.Initrd)
	if err != nil {
		return cpu.Entry{}, err
	}
	defer initrd.close()
	l, err := newLoader(mem)
	if err != nil {
		return cpu.Entry{}, err
	}
	k, err := l.kernel(f)
	if err == nil {
		err = f.unchanged()
	}
	if err != nil {
		return cpu.Entry{}, about("kernel", c.Kernel, err)
	}
	return l.finish(k, initrd, c)
}

// loader fills a VM's memory.
type loader struct {
	mem *virtio.Memory
	end uint64 // of low RAM, where kernel and initramfs have to fit
}

func newLoader(mem *virtio.Memory) (*loader, error) {
	regions := mem.Regions()
	if len(regions) == 0 || regions[0].Base != 0 {
		return nil, errdef.New(errdef.ErrInvalid, "the VM has no memory at address 0")
	}
	return &loader{mem: mem, end: uint64(len(regions[0].Data))}, nil
}

// kernel is a kernel in memory.
type kernel struct {
	entry       cpu.Entry
	end         uint64 // the first address that it does not need for itself
	initrdEnd   uint64 // where an initramfs has to end at the latest
	commandLine uint64 // greatest length of a command line, without its terminating zero
	setup       []byte // the setup header of a bzImage, from setupSects on
}

// kernel loads the file, whatever its format.
func (l *loader) kernel(f *file) (kernel, error) {
	head := make([]byte, headSize)
	if f.size < headSize {
		head = head[:f.size]
	}
	if err := f.readAt(head, 0); err != nil {
		return kernel{}, err
	}
	switch {
	case isBzImage(head):
		return l.bzImage(f, head)
	case isELF(head):
		return l.elf(f, head)
	}
	return kernel{}, foreign(head)
}

// finish loads what a kernel is given along.
func (l *loader) finish(k kernel, initrd *initrd, c Config) (cpu.Entry, error) {
	if err := l.commandLine(k, c.CommandLine); err != nil {
		return cpu.Entry{}, err
	}
	at, err := l.initrd(k, initrd)
	if err != nil {
		return cpu.Entry{}, err
	}
	h := handover{initrd: at, rsdp: c.RSDP, memory: memoryMap(l.mem), setup: k.setup}
	if k.entry.Protocol == cpu.PVH {
		err = l.startInfo(h)
	} else {
		err = l.bootParams(h)
	}
	if err != nil {
		return cpu.Entry{}, err
	}
	return k.entry, nil
}
