// Package udp forwards the guest's datagrams through sockets of the host, and datagrams for published ports to the guest.
//
// A flow is a pair of addresses and ports with a connected socket of its own, so that nobody but the peer can answer, and the host's
// kernel tells what the network says about the flow's datagrams: a refusal becomes a port unreachable for the guest. Flows end
// when they are idle, later if anything was ever answered.
//
// Netstack puts fragments together and cuts what is larger than the MTU, and knows nothing of flows: no endpoint, and no buffer of its
// own, stands between the card and the host's socket. Where a socket or the ring is full, datagrams are lost, as on any network.
package udp
