// Package power is how a VM ends and how it is asked to: the ports through which a guest powers off, resets and reports a
// panic, and the power button that the host presses.
//
//	ACPI sleep control, status   S5 powers off; ACPI 6.5 section 4.8.3.7
//	ACPI reset register          section 4.8.3.6
//	port 0x64, byte 0xfe         the keyboard controller's reset pulse, which Linux tries with reboot=k, and when all else fails
//	pvpanic                      bit 0: the guest panicked
//	event port                   what the Generic Event Device has to tell: bit 0, the power button
//
// The tables of package acpi announce all of them but the keyboard controller, which no guest shall probe for.
//
// Callbacks come from the vCPU thread that wrote the port: one of PowerOff and Reset, once, and Panic once. That thread goes on in
// the guest when they return: they note the event, ask for the vCPUs to stop, and do not wait for it.
package power
