// Package boot puts a Linux kernel, its initramfs and its command line into the memory of a VM that has never run, and says
// where to start. Two protocols are spoken:
//
//   - PVH (Xen's "x86/HVM direct boot ABI"): an ELF vmlinux whose notes name a 32-bit entry point. Nothing is unpacked.
//   - Linux' own 64-bit protocol (Documentation/arch/x86/boot.rst): a bzImage, which unpacks itself, or an ELF vmlinux without
//     the note.
//
// # The state of the boot CPU
//
// Load writes a GDT (layout.GDT) and for Linux64 page tables (layout.PageTables); the vCPU's registers are the caller's to set.
//
//	PVH      protected mode without paging: CR0 = PE|ET, CR4 = 0, EFER = 0, flat 32-bit segments,
//	         a 32-bit busy TSS; RBX = BootInfo, RFLAGS = 2, interrupts off
//	Linux64  long mode: CR0 = PE|ET|PG, CR3 = layout.PageTables, CR4 = PAE, EFER = LME|LMA, CS with L,
//	         flat data segments; RSI = BootInfo, RSP = layout.Stack, RFLAGS = 2, interrupts off
//
// The other CPUs wait for their start-up IPI and need nothing from here.
package boot
