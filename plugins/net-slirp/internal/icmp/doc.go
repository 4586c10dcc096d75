// Package icmp forwards the guest's echo requests through the host's unprivileged ping sockets, and tells the guest of errors that
// the host's sockets learn of: what a router or a peer says about a datagram of the guest's is said again, about the guest's own
// datagram.
//
// The host has to allow ping sockets to the user's group (net.ipv4.ping_group_range); where it does not, requests go unanswered and
// are counted.
package icmp
