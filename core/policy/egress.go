package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Egress compiles what a network block says about where its sandbox may go. It refuses what could not be held.
func Egress(n *plan.Network) (network.Policy, error) {
	p := network.Policy{Default: network.Allow, Limits: network.Limits(n.Limits)}
	if n.Egress == nil {
		return p, nil
	}
	p.Default = network.Deny
	for _, group := range []struct {
		rules  []plan.EgressRule
		action network.Action
	}{{n.Egress.Deny, network.Deny}, {n.Egress.Allow, network.Allow}} {
		for _, written := range group.rules {
			r, err := compile(written, group.action)
			if err != nil {
				return p, invalid(written, err)
			}
			p.RestrictNames = p.RestrictNames || r.Domain != ""
			p.Rules = append(p.Rules, r)
		}
	}
	if p.RestrictNames {
		for _, r := range p.Rules {
			if r.Action == network.Allow && onlyResolver(r) {
				return p, errdef.New(errdef.ErrInvalid, "%s: a policy that names hosts cannot allow another resolver, which would hide names; the guest's own resolver is always there", r.Origin)
			}
		}
	}
	return p, nil
}

// CheckRule says what is wrong with a rule by itself.
func CheckRule(written plan.EgressRule, allow bool) error {
	action := network.Deny
	if allow {
		action = network.Allow
	}
	_, err := compile(written, action)
	return err
}

func compile(written plan.EgressRule, action network.Action) (network.Rule, error) {
	d, err := ParseDestination(written.Destination)
	if err != nil {
		return network.Rule{}, err
	}
	r := network.Rule{
		Origin: written.Origin, Action: action, CIDR: d.CIDR, Domain: d.Domain, Any: d.Any, Ports: d.Ports, Protocols: d.Protocols,
	}
	if action == network.Deny {
		return r, nil
	}
	switch {
	case d.Domain == "localhost" || d.CIDR.IsValid() && d.CIDR.Bits() > 0 && d.CIDR.Addr().IsLoopback():
		return r, fmt.Errorf("%q is the loopback, of the guest for the guest; to reach something on the host's, declare a service", written.Destination)
	case d.CIDR.IsValid() && d.CIDR.Bits() > 0 && nobody(d.CIDR.Addr()):
		return r, fmt.Errorf("%q stands for no host that could be reached", written.Destination)
	case d.Domain != "" && len(d.Protocols) > 0 && !slices.Contains(d.Protocols, network.TCP):
		return r, fmt.Errorf("%q: a host name is proven by TLS or HTTP, over TCP; name the address instead", written.Destination)
	case d.Domain != "":
		r.Protocols = []network.Protocol{network.TCP}
	}
	return r, nil
}

// nobody tells whether an address is no host's.
func nobody(a netip.Addr) bool {
	return a.IsUnspecified() || a.IsMulticast() || a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240)
}

// onlyResolver tells whether all that a rule speaks of are ports of resolvers.
func onlyResolver(r network.Rule) bool {
	return len(r.Ports) > 0 && !slices.ContainsFunc(r.Ports, func(p network.PortRange) bool {
		return p.First != p.Last || p.First != 53 && p.First != 853
	})
}

func invalid(written plan.EgressRule, err error) error {
	return errdef.New(errdef.ErrInvalid, "%s: %w", written.Origin, err)
}
