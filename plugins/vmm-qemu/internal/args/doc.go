// Package args turns a machine into a command line for QEMU.
//
// The machine is a microvm whose devices are virtio over MMIO and announced through ACPI, because stock distribution kernels
// have no other way to find them. Nothing is taken from the user's configuration or from defaults (-nodefaults,
// -no-user-config), QEMU's own seccomp filter is on, and every connection is a descriptor that QEMU inherits, so that there
// is no path which another process could use.
//
// Every flag was measured on QEMU 7.2; the ones that are not self-evident carry their reason.
package args
