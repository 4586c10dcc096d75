// Package net is the virtio network device (Virtio 1.2 section 5.1). The network itself is another process: frames go to it
// and come from it over a link of the kind link.Frames, one lane a queue pair.
//
//	guest                        device                                 network plugin
//	transmitq i ── chain ──► transmitter i ── one copy ──► lane i, Out ──► frames, with their offload headers
//	receiveq  i ◄─ chains ── receiver i    ◄─ one copy ─── lane i, In  ◄── the same
//	controlq    ── command ► controller
//
// Each queue has a goroutine of its own, between Activate and Stop. So neither direction ever waits for the other.
//
// # Offloads
//
// The device computes no checksum and cuts no segment. What it offers the driver is what the plugin behind the link can do
// (link.Features), and what the driver accepts is told to the plugin with each epoch. Every header is judged against that,
// the guest's before it goes to the plugin and the plugin's before it goes to the guest, and carries only the fields that mean
// something.
//
// # Back-pressure, not loss
//
// A frame is lost only where it can never be delivered: its header lies, it is larger than the other side agreed to, or there
// is no link. Everything else waits where it is. When the link is full, chains stay in the transmit queue. When the guest has
// no buffers, frames stay in the link, and the plugin sees a full ring.
//
// # Queue pairs
//
// A driver begins with one pair and may ask for more (VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET). Steering is automatic (section
// 5.1.6.5.6): the plugin sends the frames of a flow on the lane on which it has last seen that flow, and on lane 0 what it has
// not seen. So it needs no message about pairs. What it sends on a lane that the driver does not use is dropped.
//
// # Carrier
//
// The link is the cable. When its peer dies or breaks a rule, the guest sees the carrier go down, what it sends meanwhile is
// completed and dropped, so that it does not hang, and Config.OnLink says why. Relink plugs a new link in, in a new epoch.
//
// # Pausing
//
// Stop gives back every chain and leaves frames in the link: a guest that is paused puts pressure back on its network, and goes
// on where it was. A snapshot holds no frames; to a network, a restored guest is one that lost some packets.
package net
