// Package tap is a TAP device's file: its queues, with virtio-net's offload header in front of each frame, and the mover of frames
// between them and a link. Plugin net-tap stands on it, and package taplink, which tests and benchmarks use in the place of a VM.
//
//	kernel ── TAP ── queues ── Mover ── lanes ══ link ══ ...
//
// The header is what makes it quick: a TCP segment of 64 KiB crosses in one piece, with its checksum left open
// (Linux, Documentation/networking/tuntap.rst; Virtio 1.2, section 5.1.6). What the kernel may leave open in the frames that it
// sends is a choice of the device (SetOffloads); in those that it takes it accepts everything that the header can say.
//
// The mover is one goroutine for both directions and all queues (package poll says why): it reads frames into the ring, where they
// stay, and writes them from there.
package tap
