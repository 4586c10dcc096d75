package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/voidbox-run/voidbox/internal/hostname"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/sniff"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Evaluator applies a policy.
type Evaluator struct {
	cfg    Config
	now    func() time.Time
	rules  atomic.Pointer[ruleset]
	host   atomic.Pointer[[]netip.Addr]
	known  learned
	limits limits
}

// New returns an evaluator, or says why the policy cannot be enforced.
func New(cfg Config, p network.Policy) (*Evaluator, error) {
	e := &Evaluator{cfg: cfg, now: cfg.Now}
	if e.now == nil {
		e.now = time.Now
	}
	e.SetHost(cfg.Host)
	return e, e.Update(p)
}

// Update replaces the policy at once for all flows to come. With an error, the old one stays.
func (e *Evaluator) Update(p network.Policy) error {
	rs, err := compile(p)
	if err != nil {
		return err
	}
	e.rules.Store(rs)
	e.limits.set(rs.limits, e.now())
	return nil
}

// SetHost replaces the host's own addresses.
func (e *Evaluator) SetHost(addrs []netip.Addr) {
	own := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		own = append(own, a.Unmap().WithZone(""))
	}
	e.host.Store(&own)
}

// maxHost bounds the host's own addresses. A route can make a whole network its own.
const maxHost = 4096

// NoteHost adds an address that has turned out to be the host's own.
func (e *Evaluator) NoteHost(a netip.Addr) {
	for {
		old := e.host.Load()
		if slices.Contains(*old, a) || len(*old) >= maxHost {
			return
		}
		own := append(slices.Clone(*old), a)
		if e.host.CompareAndSwap(old, &own) {
			return
		}
	}
}

// Decide judges a flow by its addresses.
func (e *Evaluator) Decide(f Flow) Verdict { return e.decide(e.rules.Load(), f) }

func (e *Evaluator) decide(rs *ruleset, f Flow) Verdict {
	if v, done := e.fixed(rs, f); done {
		return v
	}
	return e.byAddress(rs, f)
}

// DecideNamed judges a flow by what its first bytes say, where Decide asked for them.
func (e *Evaluator) DecideNamed(f Flow, first sniff.Result) Verdict {
	rs := e.rules.Load()
	v := e.decide(rs, f)
	if !v.NeedsName {
		return v
	}
	if first.Name == "" {
		return Verdict{Rule: RuleName, Reason: orElse(first.Problem, "no server name")}
	}
	if !e.known.has(f.Destination.Addr(), first.Name, e.now()) {
		return Verdict{Rule: RuleName, Name: first.Name, Reason: fmt.Sprintf("%s was not looked up, or is not at %s", first.Name, f.Destination.Addr())}
	}
	v = e.byName(rs, f, first.Name)
	if v.Allow {
		v.Guard = sniff.NewGuard(first)
	}
	return v
}

// Recheck judges a flow that was allowed once more, after the policy has changed. Its name counts as proven.
func (e *Evaluator) Recheck(f Flow, was Verdict) Verdict {
	rs := e.rules.Load()
	v := e.decide(rs, f)
	if v.Allow || was.Guard == nil {
		return v
	}
	if v, done := e.fixed(rs, f); done {
		return v
	}
	return e.byName(rs, f, was.Name)
}

// fixed judges by what no rule changes.
func (e *Evaluator) fixed(rs *ruleset, f Flow) (v Verdict, done bool) {
	to := f.Destination.Addr()
	if s := e.service(f); s != nil {
		return Verdict{Allow: true, Rule: RuleService, Service: s, Reason: "service " + s.Name}, true
	}
	if e.ownNetwork(to) {
		if f.Protocol == network.ICMP && (slices.Contains(e.cfg.Gateway, to) || slices.Contains(e.cfg.DNS, to)) {
			return Verdict{Allow: true, Rule: RuleGateway}, true
		}
		return Verdict{Rule: RuleGateway, Reason: "no service has this address and port"}, true
	}
	if rule := neverRule(to); rule != "" {
		return Verdict{Rule: rule, Reason: "no rule can allow this address"}, true
	}
	if rs.names && otherResolver(f) {
		return Verdict{Rule: RuleResolver, Reason: "rules name domains, so names are resolved by the gateway only"}, true
	}
	return Verdict{}, false
}

// ownNetwork tells whether an address exists for the guest alone.
func (e *Evaluator) ownNetwork(a netip.Addr) bool {
	return slices.Contains(e.cfg.Gateway, a) || slices.Contains(e.cfg.DNS, a) ||
		slices.ContainsFunc(e.cfg.Networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (e *Evaluator) service(f Flow) *network.Service {
	for i := range e.cfg.Services {
		if s := &e.cfg.Services[i]; f.Protocol == carrier(s) && s.Guest == f.Destination {
			return s
		}
	}
	return nil
}

// carrier is the protocol by which the guest reaches a service.
func carrier(s *network.Service) network.Protocol {
	if s.UDPAddress != "" {
		return network.UDP
	}
	return network.TCP
}

// otherResolver tells whether a flow could resolve names: DNS, DNS over TLS or QUIC, or QUIC, which hides what it carries.
func otherResolver(f Flow) bool {
	switch f.Destination.Port() {
	case 53, 853:
		return f.Protocol != network.ICMP
	case 443:
		return f.Protocol == network.UDP
	}
	return false
}

// byAddress applies the rules to a flow whose name is not known.
func (e *Evaluator) byAddress(rs *ruleset, f Flow) Verdict {
	to, port := f.Destination.Addr(), f.Destination.Port()
	g, isGuarded := e.guardOf(to)
	names := e.known.names(to, e.now())
	var maybe, prove *rule // a rule that allows a name of this address; a rule that denies some names
	for i := range rs.rules {
		r := &rs.rules[i]
		switch {
		case !r.covers(f.Protocol, port):
		case r.domain != "" && r.allow:
			if maybe == nil && f.Protocol == network.TCP && !isGuarded && slices.ContainsFunc(names, r.matches) {
				maybe = r
			}
		case r.domain != "":
			if prove == nil {
				prove = r
			}
			names = slices.DeleteFunc(names, r.matches)
		case !r.contains(to) || r.allow && isGuarded && !r.names(g):
		case r.allow && !r.general():
			return allowed(r, names)
		case r.allow:
			return proving(f, prove, allowed(r, names), names)
		default:
			return wanting(maybe, Verdict{Rule: r.origin})
		}
	}
	switch {
	case isGuarded && !(rs.allow && g.rule == RulePrivate):
		return Verdict{Rule: g.rule, Reason: "denied unless a rule names the address"}
	case rs.allow:
		return proving(f, prove, Verdict{Allow: true, Rule: RuleDefault, Name: first(names)}, names)
	case rs.names && maybe == nil && f.Protocol == network.TCP:
		return Verdict{Rule: RuleDefault, Reason: "the address was not looked up under a name that is allowed"}
	}
	return wanting(maybe, Verdict{Rule: RuleDefault, Reason: "no rule allows it"})
}

// proving returns the verdict of a general rule, or what a rule before it that denies names demands first.
func proving(f Flow, prove *rule, v Verdict, names []string) Verdict {
	switch {
	case prove == nil:
		return v
	case f.Protocol == network.TCP:
		return Verdict{NeedsName: true, Rule: RuleName, Reason: fmt.Sprintf("rule %s denies a name, and this flow must prove another", prove.origin)}
	case len(names) == 0:
		return Verdict{Rule: RuleName, Reason: fmt.Sprintf("rule %s denies a name, and this address was not looked up under another", prove.origin)}
	}
	return v
}

// wanting returns a verdict that denies, unless a name can change it.
func wanting(maybe *rule, v Verdict) Verdict {
	if maybe == nil {
		return v
	}
	return Verdict{NeedsName: true, Rule: RuleName, Reason: fmt.Sprintf("rule %s allows it under the name %s", maybe.origin, maybe.domain)}
}

// byName applies the rules to a TCP flow whose name is proven.
func (e *Evaluator) byName(rs *ruleset, f Flow, name string) Verdict {
	to, port := f.Destination.Addr(), f.Destination.Port()
	g, isGuarded := e.guardOf(to)
	for i := range rs.rules {
		r := &rs.rules[i]
		matches := r.domain != "" && r.matches(name) || r.domain == "" && r.contains(to)
		if !matches || !r.covers(f.Protocol, port) || r.allow && isGuarded && !r.names(g) {
			continue
		}
		return Verdict{Allow: r.allow, Rule: r.origin, Name: name}
	}
	if isGuarded && !(rs.allow && g.rule == RulePrivate) {
		return Verdict{Rule: g.rule, Name: name, Reason: "denied unless a rule names the address"}
	}
	return Verdict{Allow: rs.allow, Rule: RuleDefault, Name: name, Reason: "no rule names it"}
}

func (r *rule) matches(name string) bool { return hostname.Within(name, r.domain) }

func allowed(r *rule, names []string) Verdict {
	return Verdict{Allow: true, Rule: r.origin, Name: first(names)}
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
