package policy

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// WithHosts compiles a policy that lets the guest go to further hosts, host:port over TCP each, beside what the file allows. What the
// file denies stays denied. Hosts of the guest's own network need no rule, since services are what is there; those on the host's
// loopback are returned, as no rule can lead there. A sandbox without an egress block needs none of this.
func WithHosts(n *plan.Network, layout network.Attachment, origin string, hosts []string) (p network.Policy, loopback []string, err error) {
	with := *n
	if n.Egress == nil {
		p, err = Egress(n)
		return p, nil, err
	}
	egress := *n.Egress
	egress.Allow = slices.Clone(egress.Allow)
	for _, hostPort := range hosts {
		host, port, err := net.SplitHostPort(hostPort)
		if err != nil {
			return p, nil, fmt.Errorf("%s wants to reach %q, which is no host and port", origin, hostPort)
		}
		addr, err := netip.ParseAddr(host)
		isAddr := err == nil
		switch {
		case isAddr && slices.ContainsFunc(layout.Guest, func(own netip.Prefix) bool { return own.Contains(addr) }):
			continue
		case isAddr && addr.IsLoopback(), host == "localhost":
			loopback = append(loopback, hostPort)
			continue
		}
		egress.Allow = append(egress.Allow, plan.EgressRule{Origin: origin, Destination: net.JoinHostPort(host, port) + "/tcp"})
	}
	with.Egress = &egress
	p, err = Egress(&with)
	return p, loopback, err
}
