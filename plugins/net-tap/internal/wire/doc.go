// Package wire is a network that is nothing but a wire: frames of the guest go to a TAP device as they are, and the other way.
//
//	guest ── device ══ link ══ wire ── TAP ── the host's kernel: routes, bridges, firewall
//
// It decides about nothing. So it refuses an attachment that asks for a decision: rules, limits, services, published ports. Whoever
// wants those has the host's firewall, or network "slirp".
//
// # Offloads
//
// The link's offload header is the TAP's, so a segment of 64 KiB crosses in one piece both ways. What the guest's driver has accepted
// is told to the kernel with each epoch; a frame that was under way is dropped if the new driver has not accepted it. A header of the
// guest's is judged before the kernel sees it.
//
// # Queue pairs
//
// The kernel deals flows out to the queues of the device, and a flow that it has seen to the queue on which it has seen it. So queue i
// is lane i. A driver may use fewer of its queue pairs than there are; frames of a queue whose lane was silent in this epoch go to
// lane 0.
//
// # Carrier
//
// The device has a carrier until a link goes down, and again while the next is up. When it is deleted, the link goes down and the attachment with it: there is nothing that
// a new link could be tied to.
package wire
