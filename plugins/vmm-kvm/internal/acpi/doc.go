// Package acpi writes the tables that tell a guest what its machine has (ACPI 6.5).
//
// A kernel finds the RSDP, whose address the loader passes on, and from there:
//
//		RSDP -> XSDT -> FADT -> DSDT
//		             -> MADT
//
//	  - The FADT says that this is a hardware-reduced machine: no PIC, no PIT, no PM timer, no fixed events, and neither VGA, CMOS
//	    clock nor keyboard controller to be probed for, which would cost a guest over a second. It names the ports that reset the
//	    machine and put it to sleep.
//	  - The MADT lists the CPUs and the I/O APIC.
//	  - The DSDT is a program in AML that declares the devices: the virtio slots, the serial port, pvpanic, the power button and
//	    the Generic Event Device through which it is pressed.
//
// CPUs are listed in the MADT only: processor devices in the DSDT serve power management and hotplug, of which there is none.
//
// # AML
//
// An AML term is a byte sequence, and larger terms are made by putting smaller ones together. So the builder is a handful of
// functions from byte slices to byte slices, named as in ASL; dsdt.go reads like the source that it stands for, which is kept in
// testdata and compiled by Intel's iasl in the tests, to the same bytes.
package acpi
