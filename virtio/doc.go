// Package virtio holds what every virtio device needs, whoever lends it a guest: guest memory, the
// split virtqueue and the [Device] interface. The specification is OASIS Virtio 1.2; sections are cited
// where code follows them.
//
// A device model is written once, against [Device]. A transport drives it: vhostuser for a QEMU that
// lends its queues over a socket, an MMIO transport for our own VMM. The transport negotiates features,
// finds the rings in guest memory, hands them over with Activate and takes them back with Stop.
//
//	driver in the guest            transport              device model
//	  avail ring  ───── kick ─────────►  Kick.C()  ─────►  Queue.Pop ─► Chain
//	  used ring   ◄──── call ─────────  Call.Signal ◄────  Queue.Push, Queue.Publish
//
// Everything in guest memory is hostile and may change while it is read. Three rules keep that harmless:
//
//   - memory is reached only through [Memory], whose slices never leave a region;
//   - a ring entry, a descriptor or a header is copied out once and judged on the copy;
//   - a ring that breaks the rules breaks its queue for good ([ErrRing]), never the process.
//
// Slices of guest memory are valid until Stop returns: the transport unmaps memory after that.
package virtio
