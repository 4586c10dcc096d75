package policy

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/sniff"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Flow is what a guest asks for.
type Flow struct {
	Protocol            network.Protocol
	Source, Destination netip.AddrPort // of ICMP, the ports are 0
}

// Verdict is what happens to a flow.
type Verdict struct {
	Allow  bool
	Rule   string // origin of the rule that decided
	Reason string
	// NeedsName says that a rule for a name may allow it: read the first bytes, then ask DecideNamed.
	NeedsName bool
	// Service is where the flow leads, if not to its destination.
	Service *network.Service
	// Name is the one that the guest asked for, where it is known.
	Name string
}

// Config is what does not change during an attachment.
type Config struct {
	Services []network.Service
	// Gateway and DNS are addresses that exist for the guest alone: behind them are services and nothing else.
	Gateway, DNS []netip.Addr
	// Host are the host's own addresses.
	Host []netip.Addr
}

// Evaluator applies a policy.
type Evaluator struct {
	cfg    Config
	policy atomic.Pointer[network.Policy]
}

// New returns an evaluator, or says why the policy cannot be enforced.
func New(cfg Config, p network.Policy) (*Evaluator, error) {
	e := &Evaluator{cfg: cfg}
	if err := e.Update(p); err != nil {
		return nil, err
	}
	return e, nil
}

// Update replaces the policy at once for all flows to come.
func (e *Evaluator) Update(p network.Policy) error {
	for _, r := range p.Rules {
		if r.Domain != "" {
			return errdef.New(errdef.ErrUnsupported, "rule %s names a domain, which is not enforced yet", r.Origin)
		}
	}
	if p.RestrictNames || p.Limits != (network.Limits{}) {
		return errdef.New(errdef.ErrUnsupported, "restricted names and limits are not enforced yet")
	}
	e.policy.Store(&p)
	return nil
}

// Built-in rules, by the names that stand for their origin.
const (
	RuleService  = "builtin:service"
	RuleGateway  = "builtin:gateway"
	RuleMartian  = "builtin:martian"
	RuleLinkOnly = "builtin:link-local"
	RuleHost     = "builtin:host"
	RuleDefault  = "builtin:default"
)

// Decide judges a flow by its addresses.
func (e *Evaluator) Decide(f Flow) Verdict {
	to := f.Destination.Addr()
	if s := e.service(f); s != nil {
		return Verdict{Allow: true, Rule: RuleService, Service: s, Reason: "service " + s.Name}
	}
	if slices.Contains(e.cfg.Gateway, to) || slices.Contains(e.cfg.DNS, to) {
		if f.Protocol == network.ICMP {
			return Verdict{Allow: true, Rule: RuleGateway}
		}
		return Verdict{Rule: RuleGateway, Reason: "no service has this address"}
	}
	p := e.policy.Load()
	for _, r := range p.Rules {
		if matches(&r, f) && (r.CIDR.IsValid() || e.builtin(to) == "") {
			return Verdict{Allow: r.Action == network.Allow, Rule: r.Origin}
		}
	}
	if rule := e.builtin(to); rule != "" {
		return Verdict{Rule: rule, Reason: "always denied unless a rule names the address"}
	}
	return Verdict{Allow: p.Default == network.Allow, Rule: RuleDefault}
}

// DecideNamed judges a flow by what its first bytes say.
func (e *Evaluator) DecideNamed(f Flow, _ sniff.Result) Verdict { return e.Decide(f) }

// Acquire admits one more connection. Each that it admits is given back with Release.
func (e *Evaluator) Acquire() (rule string, ok bool) { return "", true }

// Release gives a connection back.
func (e *Evaluator) Release() {}

// Take asks to move up to n bytes now. Less than 1 means to ask again after wait.
func (e *Evaluator) Take(n int) (granted int, wait time.Duration) { return n, 0 }

func (e *Evaluator) service(f Flow) *network.Service {
	for i := range e.cfg.Services {
		if s := &e.cfg.Services[i]; f.Protocol == network.TCP && s.Guest == f.Destination {
			return s
		}
	}
	return nil
}

// builtin returns the rule that always denies an address, unless the policy names it.
func (e *Evaluator) builtin(a netip.Addr) string {
	switch {
	case a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return RuleMartian
	case a.IsLinkLocalUnicast():
		return RuleLinkOnly
	case a.IsLoopback() || slices.Contains(e.cfg.Host, a):
		return RuleHost
	}
	return ""
}

func matches(r *network.Rule, f Flow) bool {
	if !r.Any && !r.CIDR.Contains(f.Destination.Addr()) {
		return false
	}
	if len(r.Protocols) > 0 && !slices.Contains(r.Protocols, f.Protocol) {
		return false
	}
	port := f.Destination.Port()
	return len(r.Ports) == 0 || f.Protocol != network.ICMP && slices.ContainsFunc(r.Ports, func(p network.PortRange) bool {
		return p.First <= port && port <= p.Last
	})
}
