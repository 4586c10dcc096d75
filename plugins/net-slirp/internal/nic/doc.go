// Package nic is the netstack's network card: a stack.LinkEndpoint whose cable is a link to the VM's device.
//
//	guest ── device ══ link ══ nic ── stack (IP, TCP) ── forwarders of tcp, udp, icmp ── host sockets
//	                            ├──── Responders: ARP, neighbour discovery, DHCP
//	                            └──── a tap, for packet capture
//
// It has one wire and one guest, so that netstack needs neither address resolution nor a neighbour table: every frame that leaves
// goes to the guest's address, and every frame that comes from another one is a lie.
//
// # Offloads
//
// Netstack hands over TCP segments of up to 64 KiB with a partial checksum, whatever the guest's driver can take; the driver may
// change under a live connection. A segment goes to the guest as it is when the driver has accepted that, else it is cut and summed
// here (segment.go). Segments of 64 KiB from the guest go up whole. A partial checksum needs no check, since nothing but memory
// lies between the guest's stack and this one; every other checksum is verified here, because netstack checks all packets of a card
// or none.
//
// # Hostile frames
//
// A frame is copied out of shared memory once, before anything looks at it. What has a false source, hardware address or protocol,
// or lies about its lengths or its offload header, ends here and is counted by its reason. Nothing that a guest sends makes the
// card wait, or keep memory beyond the frame.
//
// # Back-pressure
//
// TCP segments never get lost on the way to the guest, since a loss can cost the connection a timeout of 200 ms: when the ring is full they
// queue here, and the windows of their connections bound the queue. Everything else is dropped and counted, as on any busy wire.
// Nobody waits for the ring but the one goroutine that moves the queue, so that a guest which does not read cannot stop what it
// writes from being read.
//
// # Queue pairs
//
// A link has a lane for each queue pair of the device. What the guest sends on a lane is answered on it (Virtio 1.2, section
// 5.1.6.5.6.1).
package nic
