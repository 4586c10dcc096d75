// Package linkpeer plays the far end of links for tests of virtio-net and virtio-fs with real drivers: as little of a network
// and of a share as it takes to make a Linux guest use everything that the devices have.
//
// [Mirror] is a network of one host, 10.0.2.2, which sends every packet back with its addresses exchanged. What a guest sends it
// by UDP comes back. A TCP connection to it is one of the guest with itself: its SYN comes back as the peer's (simultaneous open,
// RFC 9293 section 3.5), and so does all it sends, in segments as large as it sent them and with checksums that are as
// complete as they were, since those of a packet stay right when its addresses change places. So one bulk transfer tries
// offloads in both directions, and no protocol has to be written for it.
//
// [Share] is a FUSE server of one file, which is kept in memory.
package linkpeer
