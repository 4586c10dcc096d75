package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/voidbox-run/voidbox/internal/hostname"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Explain says what would happen to a flow, and by which rule. A name counts as looked up and proven where that can be done.
func (e *Evaluator) Explain(f network.Flow) (network.Verdict, error) {
	if addr, err := netip.ParseAddr(f.Host); err == nil {
		return e.explainAddress(f, addr), nil
	}
	if addr, ok := legacyAddr(f.Host); ok {
		v := e.explainAddress(f, addr)
		v.Reason = strings.TrimSuffix(fmt.Sprintf("%s is another way to write %s; %s", f.Host, addr, v.Reason), "; ")
		return v, nil
	}
	name, ok := hostname.Canonical(f.Host)
	if !ok {
		return network.Verdict{}, errdef.New(errdef.ErrInvalid, "%.300q is neither an address nor a host name", f.Host)
	}
	return e.explainName(f, name), nil
}

func (e *Evaluator) explainAddress(f network.Flow, addr netip.Addr) network.Verdict {
	if slices.Contains(e.cfg.DNS, addr) && f.Port == 53 && f.Protocol != network.ICMP {
		return network.Verdict{Action: network.Allow, Rule: RuleGateway, Reason: "the gateway's resolver; each name is judged by itself"}
	}
	v := e.Decide(Flow{Protocol: f.Protocol, Destination: netip.AddrPortFrom(addr, f.Port)})
	if v.NeedsName {
		v.Reason = "an address alone is not enough: " + v.Reason
	}
	return explained(v)
}

func (e *Evaluator) explainName(f network.Flow, name string) network.Verdict {
	lookup := e.Lookup(name)
	switch {
	case lookup.Service != nil:
		return e.explainService(f, name, lookup.Service)
	case !lookup.Allow:
		lookup.Reason = strings.TrimSuffix("the name is not resolved: "+lookup.Reason, ": ")
		return explained(lookup)
	}
	// Any public address will do: those that are guarded are dropped from the answer.
	flow := Flow{Protocol: f.Protocol, Destination: netip.AddrPortFrom(examplePublic, f.Port)}
	rs := e.rules.Load()
	if v, done := e.fixed(rs, flow); done {
		return explained(v)
	}
	if f.Protocol != network.TCP && rs.decidesByName(f, name) {
		return network.Verdict{Rule: RuleName, Reason: "a name is proven over TCP only; name the address in a rule"}
	}
	v := e.byName(rs, flow, name)
	if v.Allow && rs.names {
		v.Reason = "if it was looked up with the gateway's resolver and the stream begins with its name"
	} else if v.Allow {
		v.Reason = "by what is known before the name is resolved; rules for the address come on top"
	}
	return explained(v)
}

// examplePublic stands for an address that no rule is likely to speak of.
var examplePublic = netip.MustParseAddr("192.0.2.1")

// decidesByName tells whether the rule that decides is one for a domain that allows.
func (rs *ruleset) decidesByName(f network.Flow, name string) bool {
	for i := range rs.rules {
		r := &rs.rules[i]
		if r.covers(f.Protocol, f.Port) && (r.general() || r.domain != "" && r.matches(name)) {
			return r.domain != "" && r.allow
		}
	}
	return false
}

func (e *Evaluator) explainService(f network.Flow, name string, s *network.Service) network.Verdict {
	if f.Protocol == carrier(s) && s.Guest.Port() == f.Port {
		return network.Verdict{Action: network.Allow, Rule: RuleService, Reason: fmt.Sprintf("service %s at %s", name, s.Guest)}
	}
	return network.Verdict{Rule: RuleGateway, Reason: fmt.Sprintf("%s is a service at %s over %s, and nothing else", name, s.Guest, carrier(s))}
}

func explained(v Verdict) network.Verdict {
	out := network.Verdict{Rule: v.Rule, Reason: v.Reason}
	if v.Allow {
		out.Action = network.Allow
	}
	return out
}

// legacyAddr reads an IPv4 address as inet_aton does, which guests' programs do too: 127.1, 0x7f000001, 017700000001.
func legacyAddr(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var value uint64
	for i, part := range parts {
		if part == "" || part[0] == '+' || part[0] == '-' || strings.Contains(part, "_") {
			return netip.Addr{}, false
		}
		n, err := strconv.ParseUint(part, 0, 32)
		last := i == len(parts)-1
		switch {
		case err != nil || !last && n > 255 || last && n >= 1<<(8*(4-i)):
			return netip.Addr{}, false
		case last:
			value |= n
		default:
			value |= n << (8 * (3 - i))
		}
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true
}
