// Package fuse is the protocol of FUSE as far as a share speaks it: messages are read and written here, and nowhere else
// (Linux, include/uapi/linux/fuse.h, version 7.31 and up; little-endian, as Virtio 1.2 section 5.11.6.1 demands).
//
// Whatever is read was written by a guest. A [Decoder] never goes past the end: it notes that something is missing, returns
// zeroes from then on, and is asked once, at the end, whether all was there.
package fuse
