// Package vhost is the socket device that the kernel serves (/dev/vhost-vsock), behind the same unix sockets as the one in user
// space.
//
//	guest ─ ioeventfd ─► vhost worker, in the kernel ◄─ AF_VSOCK ─► bridge ◄─► unix socket, CONNECT convention
//	guest ◄─ irqfd ─ InterruptStatus ◄─ call eventfd ─┘
//
// The kernel reads and writes rings and guest memory itself. Its kicks are the transport's ioeventfds, which it only polls; its calls
// go through us, since Linux ignores an interrupt whose InterruptStatus says nothing.
//
// # What is different
//
// A CID means something on the whole host there, so the device picks one that is free and the machine's is not used. So do the
// host's ports: what the guest dials arrives where a socket Path_<port> was there when the VM was made, and one VM of the host at a
// time can have a port. A saved VM cannot be taken up again. Package virtio/vsock has none of these limits, and is what everybody
// gets who does not ask for this one.
package vhost
