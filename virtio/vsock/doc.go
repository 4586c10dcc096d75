// Package vsock is the virtio socket device (Virtio 1.2 section 5.10) in user space: stream sockets between a
// guest and programs on its host, without any network.
//
// The host side is a unix socket per VM, with Firecracker's conventions:
//
//   - A host program connects to Path, writes "CONNECT <port>\n", reads "OK <host port>\n" and then talks to
//     whoever listens on that vsock port in the guest. A refused connection is closed without an answer.
//   - A guest program that connects to CID 2, port P reaches the unix socket Path_P; without one it is refused.
//
// # How bytes move
//
// Two goroutines serve the queues, between Activate and Stop; they alone touch guest memory and never block on a
// host program. Each connection has one more, which waits for its unix socket to become readable.
//
//	guest ─ TX queue ─► transmit ─ writev ─────────────────────────► unix socket
//	                       └─ what the socket does not take ─► conn.pending ─ drain ─┘
//	guest ◄─ RX queue ── receive ◄─ readv, straight into the guest's buffers ── unix socket
//	                       └ ready list: connections with a packet to send, in turn
//
// Nothing bound for the guest is ever buffered here: it stays in the unix socket until the guest has both
// credit and a buffer, so a host program feels back-pressure. Bytes from the guest are bounded by the credit that
// the guest was given, per connection (window) and over all of them (Config.MaxBuffered); a guest that sends more is
// reset. So transmit always finds room and never waits. Control packets need no queue either: each connection
// remembers in a few flags what is due. Resets of connections that do not exist are queued up to a bound.
//
// # How connections end
//
// Both directions close apart. A host program's EOF becomes SHUTDOWN after its last byte, the guest's SHUTDOWN
// becomes a half-close of the unix socket after the guest's last byte. A connection that the guest has closed
// leaves the table at once, so that its ports are free again, while drain goes on delivering what it sent. The
// same happens when the device is reset.
//
// No connection outlives a move of the VM to another process (SaveState, LoadState): the guest is told with a
// transport reset event before the new device sends it anything else.
package vsock
