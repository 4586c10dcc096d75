// Package vhostuser is the back end of the vhost-user protocol: a front end, QEMU, lends the virtqueues of
// one device over a unix socket, and Serve drives a virtio.Device with them.
//
//	front end (QEMU)                            back end (this package)
//	  features, protocol features   ──────►     session.features
//	  memory: file descriptors      ──────►     mmap, virtio.Memory
//	  ring: size, base, addresses   ──────►     ring
//	  kick and call eventfds        ──────►     virtio.EventKick, ringCall
//	  enable                        ──────►     Device.Activate with the rings that are ready
//	  get base                      ──────►     Device.Stop, the index in the reply
//
// After every message the session compares the rings that are ready with those that run, and where they
// differ stops the device and activates it anew with what is ready now. So messages may come in any order
// and any number of times, as QEMU sends them.
//
// The front end holds the guest, and an escaped guest holds the front end: its messages are as hostile as a
// ring. Lengths and descriptor counts are checked against the one that each message has, descriptors that no
// message asked for are closed, and memory is mapped only as far as its file reaches.
//
// The protocol has no message for "the guest was reset" in QEMU 7.2: a pause and a reset both fetch the ring
// bases. A restart from another base than the one that was fetched tells them apart, and resets the device.
//
// Reference: QEMU, docs/interop/vhost-user.rst.
package vhostuser
