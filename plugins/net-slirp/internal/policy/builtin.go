package policy

import (
	"net/netip"
	"slices"
)

// Built-in rules, by the names that stand for their origin.
const (
	RuleService    = "builtin:service"
	RuleGateway    = "builtin:gateway"
	RuleMartian    = "builtin:martian"
	RuleLinkOnly   = "builtin:link-local"
	RuleMetadata   = "builtin:metadata"
	RuleHost       = "builtin:host"
	RuleTranslated = "builtin:translated"
	RulePrivate    = "builtin:private"
	RuleResolver   = "builtin:resolver"
	RuleName       = "builtin:name"
	RuleDefault    = "builtin:default"
	RuleSpoofed    = "builtin:spoofed"  // a source, or a hardware address, that is not the guest's
	RuleProtocol   = "builtin:protocol" // neither TCP, UDP nor an echo request

	RuleConnections = "builtin:limit-connections"
	RuleRate        = "builtin:limit-new-connections"
	RuleTotal       = "builtin:limit-total-bytes"
)

var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixToFour = netip.MustParsePrefix("2002::/16")    // RFC 3056
)

// guarded is a range that only a rule for a prefix inside it allows.
type guarded struct {
	prefix netip.Prefix
	rule   string
}

// guards are searched in order: narrow ones come before those that hold them.
var guards = []guarded{
	// Where clouds keep credentials. Some are outside of link-local.
	guard("169.254.169.254/32", RuleMetadata), // AWS, Azure, GCP and most others
	guard("169.254.170.2/32", RuleMetadata),   // AWS ECS
	guard("169.254.170.23/32", RuleMetadata),  // AWS EKS
	guard("fd00:ec2::/32", RuleMetadata),      // AWS
	guard("fd20:ce::254/128", RuleMetadata),   // GCP
	guard("100.100.100.200/32", RuleMetadata), // Alibaba
	guard("192.0.0.192/32", RuleMetadata),     // Oracle
	guard("168.63.129.16/32", RuleMetadata),   // Azure's fabric
	guard("169.254.0.0/16", RuleLinkOnly),     // RFC 3927
	guard("fe80::/10", RuleLinkOnly),          // RFC 4291
	guard("fec0::/10", RuleLinkOnly),          // RFC 3879

	// IPv6 addresses that lead to an IPv4 address elsewhere.
	{nat64, RuleTranslated},
	guard("64:ff9b:1::/48", RuleTranslated), // RFC 8215
	{sixToFour, RuleTranslated},
	guard("2001::/32", RuleTranslated), // RFC 4380

	guard("10.0.0.0/8", RulePrivate), // RFC 1918
	guard("172.16.0.0/12", RulePrivate),
	guard("192.168.0.0/16", RulePrivate),
	guard("100.64.0.0/10", RulePrivate), // RFC 6598
	guard("192.0.0.0/24", RulePrivate),  // RFC 6890
	guard("198.18.0.0/15", RulePrivate), // RFC 2544
	guard("fc00::/7", RulePrivate),      // RFC 4193
}

func guard(prefix, rule string) guarded { return guarded{netip.MustParsePrefix(prefix), rule} }

// never are addresses that stand for others, or for nobody: no rule allows them.
var never = []guarded{
	guard("0.0.0.0/8", RuleMartian), // this host
	guard("127.0.0.0/8", RuleHost),
	guard("224.0.0.0/4", RuleMartian), // multicast
	guard("240.0.0.0/4", RuleMartian), // reserved, and broadcast
	guard("::1/128", RuleHost),
	guard("::ffff:0.0.0.0/96", RuleMartian), // IPv4 in IPv6
	guard("::/96", RuleMartian),             // IPv4 in IPv6, as it was; unspecified
	guard("::ffff:0:0:0/96", RuleMartian),   // IPv4 in IPv6 by SIIT
	guard("ff00::/8", RuleMartian),          // multicast
}

// neverRule returns the rule that denies an address for good.
func neverRule(a netip.Addr) string {
	if a.Is4In6() || a.Zone() != "" || !a.IsValid() {
		return RuleMartian // netip does not see these in any prefix
	}
	for _, g := range never {
		if g.prefix.Contains(a) {
			return g.rule
		}
	}
	return ""
}

// guardOf returns what guards an address.
func (e *Evaluator) guardOf(a netip.Addr) (guarded, bool) {
	if host := e.host.Load(); host != nil && slices.Contains(*host, a) {
		return guarded{netip.PrefixFrom(a, a.BitLen()), RuleHost}, true
	}
	for _, g := range guards {
		if g.prefix.Contains(a) {
			return g, true
		}
	}
	return guarded{}, false
}

// embedded returns the IPv4 address that an IPv6 address leads to by translation (RFC 6052) or by a tunnel (RFC 3056).
func embedded(a netip.Addr) (netip.Addr, bool) {
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}
