// Package slirp is the user-mode network: it puts the card, the stack and the forwarders of one guest together and serves the
// network contract. The name is that of the program that did this first, in 1995.
//
//	VMM's device ══ link ══ nic ── netstack ─┬─ tcp ──┐
//	                         │               ├─ udp ──┼─ policy ── host sockets
//	                 arp, ndp, dhcp          └─ icmp ─┘
package slirp
