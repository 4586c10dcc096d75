// Package mmio is the memory-mapped transport of virtio (Virtio 1.2 section 4.2, version 2 of its registers): a page of
// registers through which a driver finds a device, negotiates features, says where its queues are and starts it.
//
// The VMM puts a [Transport] at a page of the guest's address space and passes accesses on; the guest's kicks and the device's
// interrupts go by eventfds, without anybody leaving the guest or entering the monitor for them:
//
//	vCPU exit ── Read, Write ──► Transport ── Activate, Stop, Reset ──► virtio.Device
//	store to +0x50 ── ioeventfd ──► QueueEvents()[i] ── virtio.Kick ──► device goroutine
//	interrupt line ◄────────── Config.Interrupt ◄── InterruptStatus ◄── virtio.Call
//
// A store to QueueNotify that is no ioeventfd's arrives at Write and has the same effect.
//
// # Locks
//
// Accesses come from any number of vCPU threads at once. Kicks, reading the interrupt status and acknowledging it take no lock.
// Registers are guarded by mu, which nobody holds while a device is called. What starts and stops the device is guarded
// by life, taken before mu: a write of Status or QueueReady waits for a device that is being stopped, other accesses do not. A
// reset is over when the write of 0 returns, since Linux goes on without reading the status back; until then other vCPUs read
// the old status.
//
// # What a driver cannot do
//
// Negotiation follows section 3.1.1 and what comes out of order is ignored: features before DRIVER, FEATURES_OK without VERSION_1
// or with features that were not offered, queues before FEATURES_OK or after DRIVER_OK, queues whose size or place is wrong
// (QueueReady keeps reading 0). A driver that breaks a ring, or a device that cannot start, sets DEVICE_NEEDS_RESET; a reset
// helps against everything. Nothing that a driver writes makes the transport allocate more than its queues need.
package mmio
