// Package policy decides which flows a guest may open.
//
// # The order of things
//
// A flow is judged by where it leads, after every alias has been resolved, in this order:
//
//  1. A declared service is allowed: it is the only way to the host's loopback.
//  2. What exists for the guest alone (its gateway, its own network) holds nothing else.
//  3. Addresses that stand for others are denied: 0.0.0.0, broadcast, multicast, IPv4 in IPv6, loopback. No rule can allow them.
//  4. While rules name domains, other resolvers are denied (DNS, DNS over TLS, and QUIC, which hides names and carries DNS).
//  5. The rules of the policy, in order: the first that matches decides.
//  6. The default of the policy.
//
// Some addresses are guarded: metadata services, link-local, the host's own, private ranges. A rule that allows everything, or a
// domain, or a wide prefix does not allow these; only one that names them does, with a prefix inside the guarded range.
//
// # Names
//
// An address says little about who is behind it, and a name that the guest sends says what the guest wants it to say. A rule for a
// domain therefore demands both: that the address was learned from an answer that our own resolver gave to the guest, for that name,
// not longer ago than the answer's time to live, and that the stream begins with that name (package sniff). What proves no name
// (UDP, ICMP, TLS with an encrypted hello) matches no rule that allows a domain. What remains is what TLS leaves open: behind a front
// that many share, a client can reach one server under another's name.
//
// A rule that denies a domain denies its resolution, and makes everything that a later, general rule would allow prove another name.
// A prefix that a rule allows is allowed whatever its addresses are called.
//
// # Change
//
// A policy is compiled as a whole, or refused as a whole, and replaced by one store of a pointer: no flow sees half of one.
package policy
