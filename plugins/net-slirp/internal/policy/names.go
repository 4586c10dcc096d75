package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/internal/hostname"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Lookup judges whether a canonical name may be resolved. A resolver carries what is asked of it to whoever serves the name, so a
// lookup is a way out like any other: it needs a rule.
func (e *Evaluator) Lookup(name string) Verdict {
	if s := e.serviceNamed(name); s != nil {
		return Verdict{Allow: true, Rule: RuleService, Service: s, Name: name}
	}
	rs := e.rules.Load()
	for i := range rs.rules {
		r := &rs.rules[i]
		matches := r.general() || r.domain != "" && hostname.Within(name, r.domain)
		// What denies some ports leaves the name to the others.
		if !matches || !r.allow && (len(r.ports) > 0 || len(r.protocols) > 0 || r.prefix.IsValid()) {
			continue
		}
		return Verdict{Allow: r.allow, Rule: r.origin, Name: name}
	}
	return Verdict{Allow: rs.allow, Rule: RuleDefault, Name: name, Reason: "no rule names it"}
}

// Alias judges a name that a lookup of another led to: one that a rule denies stays denied.
func (e *Evaluator) Alias(name string) Verdict {
	rs := e.rules.Load()
	for i := range rs.rules {
		if r := &rs.rules[i]; r.domain != "" && hostname.Within(name, r.domain) {
			if !r.allow && (len(r.ports) > 0 || len(r.protocols) > 0) {
				continue
			}
			return Verdict{Allow: r.allow, Rule: r.origin, Name: name}
		}
	}
	return Verdict{Allow: true, Name: name}
}

// Restricted tells whether rules name domains, so that answers must not help to hide names.
func (e *Evaluator) Restricted() bool { return e.rules.Load().names }

// Answerable judges an address in the answer for a public name: one that stands for the host or its neighbours is none that a
// public name should have, unless a rule names it (DNS rebinding).
func (e *Evaluator) Answerable(a netip.Addr) Verdict {
	a = a.Unmap()
	if rule := neverRule(a); rule != "" {
		return Verdict{Rule: rule}
	}
	if e.ownNetwork(a) {
		return Verdict{Rule: RuleGateway}
	}
	g, isGuarded := e.guardOf(a)
	if !isGuarded {
		return Verdict{Allow: true}
	}
	for _, p := range e.rules.Load().allowsPrefix {
		if p.Contains(a) && within(p, g.prefix) {
			return Verdict{Allow: true}
		}
	}
	return Verdict{Rule: g.rule}
}

// serviceNamed returns the service of a name.
func (e *Evaluator) serviceNamed(name string) *network.Service {
	i := slices.IndexFunc(e.cfg.Services, func(s network.Service) bool { return s.Name != "" && strings.EqualFold(s.Name, name) })
	if i < 0 {
		return nil
	}
	return &e.cfg.Services[i]
}
