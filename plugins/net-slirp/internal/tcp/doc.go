// Package tcp forwards the guest's TCP connections to the host's sockets, and published ports of the host to the guest.
//
// # Opening
//
// The host is dialled first, and the guest's handshake completed when that has worked: a guest sees a refusal as a refusal (a
// reset), and a destination that does not answer as one that does not answer. Dials do not wait for one another; their number, and
// the number for each destination, are bounded, and a SYN beyond is left to be sent again. Only where the policy wants a name does
// the handshake come first, since the name stands in the first bytes: they are looked at in netstack's receive queue, and stay there.
//
// # Moving
//
// A flow has no buffers and no goroutine. What the guest sent is written to the host's socket from where netstack holds it, and
// what the host sent is read into the memory that netstack sends from. Whatever the other side does not take stays where it is,
// so that its window closes: back-pressure reaches from one end to the other. An idle connection is an endpoint and a socket.
//
// # Ending
//
// Each direction ends by itself (half-close). A reset goes through as a reset, both ways.
package tcp
