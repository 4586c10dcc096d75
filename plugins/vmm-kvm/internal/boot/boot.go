package boot

import (
	"errors"

	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/virtio"
)

// Protocol is how the boot CPU enters the kernel.
type Protocol int

// Protocols.
const (
	PVH Protocol = iota + 1
	Linux64
)

// String implements fmt.Stringer.
func (p Protocol) String() string {
	switch p {
	case PVH:
		return "PVH"
	case Linux64:
		return "64-bit"
	}
	return "unknown"
}

// Selectors of the GDT at layout.GDT; its limit is GDTLimit. Linux demands the first two by number (__BOOT_CS, __BOOT_DS).
const (
	CodeSelector = 0x10
	DataSelector = 0x18
	TaskSelector = 0x20
	GDTLimit     = 0x27
)

// Entry is where and how the boot CPU starts; package doc says what its registers have to hold.
type Entry struct {
	Protocol Protocol
	RIP      uint64
	BootInfo uint64 // guest address of hvm_start_info (PVH, in RBX) or boot_params (Linux64, in RSI)
}

// Config says what to boot.
type Config struct {
	Kernel      string        // path of an ELF vmlinux or a bzImage
	Initrd      []vmm.Segment // archives of the initramfs, in order; each is padded so that the next one is found
	CommandLine string
	RSDP        uint64 // guest address of the ACPI tables, as acpi.Load returned it
}

// Load writes all that c names into mem, which must be fresh: what a kernel expects to be zero is not written, so that pages
// that nobody uses are never touched. Errors are of the kinds of package errdef, and say what to do.
func Load(mem *virtio.Memory, c Config) (Entry, error) {
	return Entry{}, errors.ErrUnsupported
}
