package voidbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/policy"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// defaultNetwork needs no privileges and holds policies.
const defaultNetwork = "slirp"

// Network connects the sandbox with what is outside, by the network plugin of that name: slirp, or tap. The settings are the arguments
// that the plugin declares, nil for none. Without it, and without any of the methods below, there is no network at all. With nothing
// else said, the guest reaches what the host reaches, except for the host itself, link-local addresses and metadata services.
func (r RunnableSandbox) Network(plugin string, settings map[string]any) RunnableSandbox {
	config, err := json.Marshal(settings)
	if err != nil {
		r.err = fmt.Errorf("settings of network %s: %w", plugin, err)
	}
	if settings == nil {
		config = []byte("{}")
	}
	return r.network(func(n *plan.Network) { n.Plugin, n.Config = plugin, config })
}

// network changes a copy of the network's description.
func (r RunnableSandbox) network(change func(*plan.Network)) RunnableSandbox {
	n := plan.Network{Block: plan.Block{Plugin: defaultNetwork, Config: json.RawMessage("{}")}}
	if r.spec.Network != nil {
		n = *r.spec.Network
	}
	if n.Egress != nil {
		egress := *n.Egress
		n.Egress = &egress
	}
	change(&n)
	r.spec.Network = &n
	return r
}

// Allow lets the guest go to the destinations, and to nowhere that neither this nor another call allows: hosts (pypi.org:443), hosts below
// a name (*.pypi.org), addresses, prefixes and *, with ports and a protocol where they matter (10.0.0.0/8:5432/tcp). The language's
// documentation says what names prove. Denials name the line of the program that called Allow or Deny, and with no
// destinations at all, Allow denies everything.
func (r RunnableSandbox) Allow(destinations ...string) RunnableSandbox {
	origin := caller()
	return r.network(func(n *plan.Network) {
		n.Egress = orEmpty(n.Egress)
		n.Egress.Allow = slices.Concat(n.Egress.Allow, rules(origin, destinations))
	})
}

// Deny keeps the guest from the destinations, whatever Allow says.
func (r RunnableSandbox) Deny(destinations ...string) RunnableSandbox {
	origin := caller()
	return r.network(func(n *plan.Network) {
		n.Egress = orEmpty(n.Egress)
		n.Egress.Deny = slices.Concat(n.Egress.Deny, rules(origin, destinations))
	})
}

// caller is the line of the program that called a method of this file.
func caller() string {
	_, file, line, ok := runtime.Caller(2)
	if !ok {
		return "program"
	}
	return fmt.Sprintf("%s:%d", filepath.Base(file), line)
}

func orEmpty(e *plan.Egress) *plan.Egress {
	if e == nil {
		return &plan.Egress{}
	}
	return e
}

func rules(origin string, destinations []string) []plan.EgressRule {
	var out []plan.EgressRule
	for _, d := range destinations {
		out = append(out, plan.EgressRule{Origin: origin, Destination: d})
	}
	return out
}

// Limits bounds the network as a whole.
func (r RunnableSandbox) Limits(l plan.NetworkLimits) RunnableSandbox {
	return r.network(func(n *plan.Network) { n.Limits = l })
}

// Layout says who is where in the guest's network, if not as usual.
func (r RunnableSandbox) Layout(l plan.NetworkLayout) RunnableSandbox {
	return r.network(func(n *plan.Network) { n.Layout = l })
}

// Service lets the guest reach something of the host, by its name or at an address of its own network, such as 10.0.2.2:11434: the only
// way to the host's loopback. The target is an address and port of the host, after udp: for datagrams, or unix: and the path of a socket.
func (r RunnableSandbox) Service(name, address, target string) RunnableSandbox {
	s := plan.Service{Name: name, Address: address}
	switch kind, rest, _ := strings.Cut(target, ":"); kind {
	case "unix":
		s.UnixPath = rest
		if abs, err := filepath.Abs(rest); err == nil { // else there is no working directory, and the socket will not be found
			s.UnixPath = abs
		}
	case "udp":
		s.UDPAddress = rest
	default:
		s.TCPAddress = target
	}
	return r.network(func(n *plan.Network) { n.Services = append(slices.Clip(n.Services), s) })
}

// Publish makes a port of the guest one of the host's loopback, any that is free; [Sandbox.Published] says which. For another host port,
// another host address, or while the guest runs, see [Sandbox.Publish].
func (r RunnableSandbox) Publish(guestPort int) RunnableSandbox {
	p := plan.PublishedPort{Protocol: string(network.TCP), GuestPort: guestPort}
	return r.network(func(n *plan.Network) { n.Published = append(slices.Clip(n.Published), p) })
}

// checkNetwork finds a policy that could not be held before anything is started.
func (r RunnableSandbox) checkNetwork() error {
	if r.spec.Network == nil || r.err != nil {
		return r.err
	}
	_, err := policy.Attachment(r.spec.Network, policy.Host{IPv6: true})
	return err
}

// Publish makes a port of the guest one of the host, while the guest runs, and returns where: on the loopback unless p.Host is another
// address, at any free port unless p.HostPort is one.
func (s *Sandbox) Publish(ctx context.Context, p network.PublishedPort) (netip.AddrPort, error) {
	if _, err := s.Sandbox(ctx); err != nil {
		return netip.AddrPort{}, err
	}
	return s.box.Publish(ctx, p)
}

// Unpublish undoes Publish. TCP connections that are open go on.
func (s *Sandbox) Unpublish(ctx context.Context, protocol network.Protocol, guestPort uint16) error {
	if _, err := s.Sandbox(ctx); err != nil {
		return err
	}
	return s.box.Unpublish(ctx, protocol, guestPort)
}

// Published says where on the host a port of the guest is. One that is not published is errdef.ErrNotFound.
func (s *Sandbox) Published(ctx context.Context, protocol network.Protocol, guestPort uint16) (netip.AddrPort, error) {
	if _, err := s.Sandbox(ctx); err != nil {
		return netip.AddrPort{}, err
	}
	return s.box.Published(protocol, guestPort)
}

// Explain says whether the guest may go somewhere, and by which rule. Nothing is connected.
func (s *Sandbox) Explain(ctx context.Context, f network.Flow) (network.Verdict, error) {
	if _, err := s.Sandbox(ctx); err != nil {
		return network.Verdict{}, err
	}
	return s.box.Explain(ctx, f)
}
