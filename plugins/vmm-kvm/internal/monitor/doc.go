// Package monitor is the vmm.VMM of this plugin: it puts a VM together out of this plugin's pieces and the device models of
// virtio, and tells what becomes of it.
//
// # Making a VM
//
// The parts that take time do not wait for each other: KVM makes an empty VM as soon as the plugin is configured, the kernel is
// read into guest memory while the devices are made, and the jail closes when all stand:
//
//	Configure ─► /dev/kvm, empty VM ──┐
//	Create ─► checks ─► memory ─┬─► devices, vCPUs ─┬─► registers ─► jail ─► vCPU threads, waiting
//	                            └─► ACPI, kernel ───┘
//
// Start only opens the gate that the threads wait at.
//
// # Pausing
//
// vCPUs stop first, so that nobody kicks a device that stops; then each transport stops its device. Resuming goes the other way
// round.
//
// # The end
//
// A VM ends when its vCPUs have: because the guest powered off or reset, because one of them cannot go on, or because Stop was
// called. Whoever wants the end tells the vCPUs and waits; one goroutine, supervise, takes the VM apart behind them, in the
// order of who uses whom (vCPUs, devices, KVM, memory), says why it ended, and declares it stopped. The process lives on, so
// that events, console and metrics can be asked for.
package monitor
