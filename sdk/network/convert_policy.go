package network

import (
	"net/netip"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// maxRules bounds a policy.
const maxRules = 65536

func actionToProto(a Action) pluginv1.Action {
	if a == Allow {
		return pluginv1.Action_ACTION_ALLOW
	}
	return pluginv1.Action_ACTION_DENY
}

// actionFromProto denies whatever is not plainly allowed.
func actionFromProto(a pluginv1.Action) Action {
	if a == pluginv1.Action_ACTION_ALLOW {
		return Allow
	}
	return Deny
}

func policyToProto(p Policy) (*pluginv1.Policy, error) {
	if p.Limits.Connections < 0 || p.Limits.NewConnectionsPerSecond < 0 {
		return nil, errdef.New(errdef.ErrInvalid, "a limit of connections is negative")
	}
	out := &pluginv1.Policy{
		DefaultAction: actionToProto(p.Default),
		RestrictNames: p.RestrictNames,
		Limits: &pluginv1.Policy_Limits{
			Connections:             uint32(p.Limits.Connections),
			NewConnectionsPerSecond: uint32(p.Limits.NewConnectionsPerSecond),
			BytesPerSecond:          p.Limits.BytesPerSecond,
			TotalBytes:              p.Limits.TotalBytes,
		},
	}
	for _, r := range p.Rules {
		rule, err := ruleToProto(r)
		if err != nil {
			return nil, err
		}
		out.Rules = append(out.Rules, rule)
	}
	return out, nil
}

func policyFromProto(p *pluginv1.Policy) (Policy, error) {
	limits := p.GetLimits()
	out := Policy{
		Default:       actionFromProto(p.GetDefaultAction()),
		RestrictNames: p.GetRestrictNames(),
		Limits: Limits{
			Connections:             int(limits.GetConnections()),
			NewConnectionsPerSecond: int(limits.GetNewConnectionsPerSecond()),
			BytesPerSecond:          limits.GetBytesPerSecond(),
			TotalBytes:              limits.GetTotalBytes(),
		},
	}
	if len(p.GetRules()) > maxRules {
		return out, errdef.New(errdef.ErrInvalid, "a policy of %d rules has more than %d", len(p.GetRules()), maxRules)
	}
	for _, r := range p.GetRules() {
		rule, err := ruleFromProto(r)
		if err != nil {
			return out, err
		}
		out.Rules = append(out.Rules, rule)
	}
	return out, nil
}

func ruleToProto(r Rule) (*pluginv1.Rule, error) {
	out := &pluginv1.Rule{Origin: r.Origin, Action: actionToProto(r.Action)}
	set := 0
	if r.CIDR.IsValid() {
		out.Destination, set = &pluginv1.Rule_Cidr{Cidr: r.CIDR.String()}, set+1
	}
	if r.Domain != "" {
		out.Destination, set = &pluginv1.Rule_Domain{Domain: r.Domain}, set+1
	}
	if r.Any {
		out.Destination, set = &pluginv1.Rule_Any{Any: true}, set+1
	}
	if set != 1 {
		return nil, errdef.New(errdef.ErrInvalid, "rule %s needs exactly one destination, not %d", r.Origin, set)
	}
	for _, ports := range r.Ports {
		out.Ports = append(out.Ports, &pluginv1.PortRange{First: uint32(ports.First), Last: uint32(ports.Last)})
	}
	for _, proto := range r.Protocols {
		out.Protocols = append(out.Protocols, string(proto))
	}
	return out, nil
}

// ruleFromProto refuses a rule that it does not understand whole: one that is read more widely than it was written allows too
// much, one that is read more narrowly denies too little.
func ruleFromProto(r *pluginv1.Rule) (Rule, error) {
	out := Rule{Origin: r.GetOrigin(), Action: actionFromProto(r.GetAction())}
	var err error
	switch d := r.GetDestination().(type) {
	case *pluginv1.Rule_Cidr:
		out.CIDR, err = netip.ParsePrefix(d.Cidr)
	case *pluginv1.Rule_Domain:
		out.Domain = d.Domain
	case *pluginv1.Rule_Any:
		out.Any = d.Any
	}
	if err != nil {
		return out, errdef.New(errdef.ErrInvalid, "rule %s: %w", out.Origin, err)
	}
	if !out.CIDR.IsValid() && out.Domain == "" && !out.Any {
		return out, errdef.New(errdef.ErrInvalid, "rule %s has no destination", out.Origin)
	}
	if out.Ports, err = parseAll(r.GetPorts(), portRangeFromProto); err != nil {
		return out, err
	}
	out.Protocols, err = parseAll(r.GetProtocols(), protocolFromProto)
	return out, err
}

func portRangeFromProto(p *pluginv1.PortRange) (PortRange, error) {
	first, err := portFromProto("first", p.GetFirst())
	if err != nil {
		return PortRange{}, err
	}
	last, err := portFromProto("last", p.GetLast())
	if err != nil {
		return PortRange{}, err
	}
	if first > last {
		return PortRange{}, errdef.New(errdef.ErrInvalid, "port range %d-%d is empty", first, last)
	}
	return PortRange{First: first, Last: last}, nil
}

var eventKindToProto = map[EventKind]pluginv1.WatchFlowsResponse_Kind{
	Opened: pluginv1.WatchFlowsResponse_KIND_OPENED,
	Closed: pluginv1.WatchFlowsResponse_KIND_CLOSED,
	Denied: pluginv1.WatchFlowsResponse_KIND_DENIED,
	Lost:   pluginv1.WatchFlowsResponse_KIND_LOST,

	Watching: pluginv1.WatchFlowsResponse_KIND_WATCHING,
}

func eventToProto(e Event) *pluginv1.WatchFlowsResponse {
	return &pluginv1.WatchFlowsResponse{
		Kind: eventKindToProto[e.Kind], Time: timestamppb.New(e.Time), Protocol: string(e.Protocol),
		Source: e.Source, Destination: e.Destination, Name: e.Name, Rule: e.Rule,
		Sent: e.Sent, Received: e.Received, Duration: durationpb.New(e.Duration),
	}
}

// eventFromProto returns false for a kind that this version does not know.
func eventFromProto(p *pluginv1.WatchFlowsResponse) (Event, bool) {
	for kind, proto := range eventKindToProto {
		if proto != p.GetKind() {
			continue
		}
		return Event{
			Kind: kind, Time: p.GetTime().AsTime(), Protocol: Protocol(p.GetProtocol()),
			Source: p.GetSource(), Destination: p.GetDestination(), Name: p.GetName(), Rule: p.GetRule(),
			Sent: p.GetSent(), Received: p.GetReceived(), Duration: p.GetDuration().AsDuration(),
		}, true
	}
	return Event{}, false
}
