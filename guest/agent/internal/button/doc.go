// Package button hears the power button of the machine, which is how a monitor asks a guest to end.
//
// A press takes a long way: the monitor raises the interrupt of ACPI's event device, the kernel runs that device's _EVT method,
// which notifies the button of 0x80 (ACPI 6.5, section 4.8.3.2), and a driver tells user space. There are two drivers:
//
//	tiny-power-button   sends signal 38 to PID 1; in our kernel, and none of this package's business
//	button              reports a key, and an event of the generic netlink family "acpi_event"; a module of distributions' kernels
//
// This package listens to the second one. The family is the kernel's own, while keys take another driver, evdev, and a look at
// every device in /dev/input.
//
// A datagram is one or more netlink messages, each of them a generic netlink message with attributes, all in the processor's
// byte order (Linux, Documentation/userspace-api/netlink). Only the kernel's own datagrams count, and what does not parse is
// no press.
package button
