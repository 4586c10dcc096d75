// Package layout is the map of a VM's physical addresses, ports and interrupt lines, which the loader, the ACPI tables and the
// device models must agree on. MMIO slots follow Firecracker's map.
//
//	0x0000_0500  GDT, boot parameters, page tables, command line (see constants)
//	0x000e_0000  RSDP and the other ACPI tables, in the BIOS area that kernels scan and leave alone
//	0x0010_0000  kernel (HighMemory), and above it free RAM; the initrd ends at the end of low RAM
//	0xc000_0000  end of low RAM
//	0xc000_1000  one page a virtio-mmio device
//	0xfec0_0000  I/O APIC, in the kernel
//	0xfee0_0000  local APICs, in the kernel
//	0xfffb_c000  identity map page and TSS of KVM on Intel
//	0x1_0000_0000  the rest of RAM
package layout

// Structures in the first megabyte. Each is written by package boot and read by the kernel before it sets up its own.
const (
	GDT         = 0x500
	StartInfo   = 0x6000 // PVH: hvm_start_info, then modules and memory map
	ZeroPage    = 0x7000 // bzImage: struct boot_params
	Stack       = 0x8ff0
	PageTables  = 0x9000  // PML4, PDPT, four page directories
	CommandLine = 0x20000 // zero-terminated
	LowRAMEnd   = 0x9fc00 // end of the memory that the map calls usable below 1 MiB
	BIOSArea    = 0xe0000 // ACPI tables, up to HighMemory
	HighMemory  = 0x100000
)

// Gaps and devices below 4 GiB.
const (
	LowMemoryEnd    = 0xc0000000
	DeviceBase      = 0xc0001000
	DeviceSize      = 0x1000
	IOAPIC          = 0xfec00000
	LAPIC           = 0xfee00000
	IdentityMapPage = 0xfffbc000
	TSS             = 0xfffbd000 // three pages
	HighMemoryBase  = 1 << 32
)

// Ports.
const (
	KeyboardPort     = 0x64  // only the keyboard controller's reset command
	SerialPort       = 0x3f8 // eight of them
	PanicPort        = 0x505 // pvpanic
	SleepControlPort = 0x600
	SleepStatusPort  = 0x601
	ResetPort        = 0x604
	EventPort        = 0x608 // Generic Event Device: which events are due, 32 bits, cleared by reading
)

// Interrupt lines: pins of the I/O APIC. All are edge-triggered and none is shared.
const (
	SerialIRQ = 4
	EventIRQ  = 9
)

// deviceIRQs are free for virtio devices, in the order in which they are given out.
var deviceIRQs = [...]uint32{5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}

// MaxDevices is the number of virtio devices that a VM can have.
const MaxDevices = len(deviceIRQs)

// Slot is the place of a virtio-mmio device.
type Slot struct {
	Base uint64
	IRQ  uint32
}

// DeviceSlot returns slot i of MaxDevices.
func DeviceSlot(i int) Slot {
	return Slot{Base: DeviceBase + uint64(i)*DeviceSize, IRQ: deviceIRQs[i]}
}

// Range is a piece of guest-physical memory.
type Range struct{ Base, Size uint64 }

// RAM splits a VM's memory around the gap below 4 GiB.
func RAM(bytes uint64) []Range {
	if bytes <= LowMemoryEnd {
		return []Range{{0, bytes}}
	}
	return []Range{{0, LowMemoryEnd}, {HighMemoryBase, bytes - LowMemoryEnd}}
}
