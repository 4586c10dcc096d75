package policy

import (
	"net/netip"
	"slices"

	"github.com/voidbox-run/voidbox/internal/hostname"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// ruleset is a policy, checked and ready to be searched.
type ruleset struct {
	rules        []rule
	allow        bool // by default
	names        bool // rules name domains
	limits       network.Limits
	allowsPrefix []netip.Prefix // that some rule allows
}

// rule is a network.Rule, checked.
type rule struct {
	origin    string
	allow     bool
	prefix    netip.Prefix // valid unless domain or any
	domain    string       // canonical
	any       bool
	ports     []network.PortRange
	protocols []network.Protocol
}

// compile refuses a policy that cannot be enforced whole.
func compile(p network.Policy) (*ruleset, error) {
	rs := &ruleset{allow: p.Default == network.Allow, names: p.RestrictNames, limits: p.Limits}
	if p.Limits.Connections < 0 || p.Limits.NewConnectionsPerSecond < 0 {
		return nil, errdef.New(errdef.ErrInvalid, "a limit of connections is negative")
	}
	for _, r := range p.Rules {
		c, err := compileRule(r)
		if err != nil {
			return nil, err
		}
		rs.names = rs.names || c.domain != ""
		if c.allow && c.prefix.IsValid() {
			rs.allowsPrefix = append(rs.allowsPrefix, c.prefix)
		}
		rs.rules = append(rs.rules, c)
	}
	return rs, nil
}

func compileRule(r network.Rule) (rule, error) {
	c := rule{
		origin: r.Origin, allow: r.Action == network.Allow, any: r.Any, ports: slices.Clone(r.Ports), protocols: slices.Clone(r.Protocols),
	}
	set := 0
	if r.Any {
		set++
	}
	if r.CIDR.IsValid() {
		set++
		if c.prefix = r.CIDR.Masked(); c.prefix.Addr().Is4In6() {
			return c, unenforceable(r, "%s is an IPv4 prefix written as IPv6; write it as IPv4", r.CIDR)
		}
		if c.allow && c.prefix.Bits() > 0 && neverRule(c.prefix.Addr()) != "" {
			return c, unenforceable(r, "nothing can be reached at %s; to reach the host's loopback, declare a service", r.CIDR)
		}
	}
	if r.Domain != "" {
		set++
		var ok bool
		if c.domain, ok = hostname.Domain(r.Domain); !ok {
			return c, unenforceable(r, "%.300q is neither a host name nor *.name", r.Domain)
		}
		if c.allow && len(r.Protocols) > 0 && !slices.Contains(r.Protocols, network.TCP) {
			return c, unenforceable(r, "a name is proven over TCP only; name the address instead")
		}
	}
	if set != 1 {
		return c, unenforceable(r, "it needs exactly one destination, not %d", set)
	}
	for _, p := range r.Ports {
		if p.First > p.Last {
			return c, unenforceable(r, "the port range %d-%d is empty", p.First, p.Last)
		}
	}
	return c, nil
}

func unenforceable(r network.Rule, format string, args ...any) error {
	return errdef.New(errdef.ErrInvalid, "rule %s: "+format, append([]any{r.Origin}, args...)...).WithReason("policy_unenforceable")
}

// covers tells whether a rule speaks of a protocol and port. A rule for ports does not speak of ICMP.
func (r *rule) covers(proto network.Protocol, port uint16) bool {
	if len(r.protocols) > 0 && !slices.Contains(r.protocols, proto) {
		return false
	}
	return len(r.ports) == 0 || proto != network.ICMP && slices.ContainsFunc(r.ports, func(p network.PortRange) bool {
		return p.First <= port && port <= p.Last
	})
}

// general tells whether a rule speaks of every address of a family at least.
func (r *rule) general() bool { return r.any || r.prefix.IsValid() && r.prefix.Bits() == 0 }

// contains tells whether a rule without a domain speaks of an address.
func (r *rule) contains(a netip.Addr) bool {
	if r.any || r.prefix.Contains(a) {
		return true
	}
	if r.allow || !a.Is6() {
		return false
	}
	inner, ok := embedded(a)
	return ok && r.prefix.Contains(inner) // what is denied is denied by way of a translator too
}

// names tells whether a rule's prefix lies inside what is guarded.
func (r *rule) names(g guarded) bool { return within(r.prefix, g.prefix) }

func within(inner, outer netip.Prefix) bool {
	return inner.IsValid() && inner.Bits() >= outer.Bits() && outer.Contains(inner.Addr())
}
