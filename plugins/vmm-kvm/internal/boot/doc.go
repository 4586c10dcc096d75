// Package boot puts a Linux kernel, its initramfs and its command line into the memory of a VM that has never run, and says
// where the boot CPU starts. Package cpu brings it there.
//
// Two protocols are spoken:
//
//   - PVH (Xen's "x86/HVM direct boot ABI"): an ELF vmlinux whose notes name a 32-bit entry point. Nothing is unpacked.
//   - Linux' own 64-bit protocol (Documentation/arch/x86/boot.rst): a bzImage, which unpacks itself, or an ELF vmlinux without
//     the note, which begins at its ELF entry point.
//
// # Where things lie
//
//	layout.StartInfo, ZeroPage   what the protocol hands over: hvm_start_info or boot_params
//	layout.CommandLine           command line
//	from 1 MiB on                kernel, where it was linked to lie (16 MiB as a rule)
//	up to the end of low RAM     initramfs, below the kernel's limit for it (2 GiB for a bzImage)
//
// # Files
//
// Kernel and archives are read straight into guest memory, once, and only as far as the kernel needs them. They are as hostile as
// a guest: whatever a header says is checked against the file and against memory before it is followed. A file that
// changes meanwhile is noticed where the change shows in its size or its time of modification.
package boot
