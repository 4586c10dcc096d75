// Package device makes or takes the TAP device, with what the kernel lets a process do that has CAP_NET_ADMIN.
//
// A device that exists is the host's: it is used as it is, and nothing about it is changed that would outlive us. If it
// belongs to our user (ip tuntap add ... user), that needs no privilege at all.
//
// A device that does not exist is made, and is gone when the last of its queues is closed, however this process ends. water makes it,
// and cannot ask for the offload header, which the kernel settles when the only queue of a device is opened: so water's device has to
// outlive water's queue for the moment until ours is open (TUNSETPERSIST). In that moment it has a name of its own, and what a process
// leaves that is killed then, the next one removes.
//
// The kernel would let two processes open queues of one device, and deal the frames out between them. So the queues are counted once
// ours are open, and who finds others there backs out.
package device
