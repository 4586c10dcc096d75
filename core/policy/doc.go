// Package policy reads the policies of a plan and compiles them into what the contracts carry. It decides nothing by itself: the
// network plugin applies the rules, so that no flow waits for a call to the core.
//
// # Destinations
//
// A rule names one destination:
//
//	pypi.org                 a host, over TCP
//	*.pypi.org:443           the hosts below a name, at a port
//	140.82.112.0/20:22       a prefix
//	[2001:db8::/32]:80-89    a prefix of IPv6, at a range of ports
//	10.0.0.5:53/udp          an address, by one protocol of tcp, udp, icmp
//	*:443                    everything
//
// A name must be proven by the guest, which is possible over TCP only (TLS server name or HTTP Host); a rule for a name is one for
// TCP. A rule without ports is for all of them.
//
// # Order
//
// What a policy denies is compiled before what it allows, and the first rule that matches decides. As soon as a policy is written,
// even an empty one, what no rule allows is denied.
//
// A policy that could not be held is refused here, with its place: a name over UDP, the host's loopback, another resolver beside
// rules for names.
package policy
