package policy

import (
	"slices"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// CheckCapable refuses a network block that asks its plugin for what that does not do, by the capabilities that it declares. A rule
// that nobody holds is worse than none.
func CheckCapable(n *plan.Network, capabilities []string) error {
	for _, c := range []struct {
		asked            bool
		what, capability string
	}{
		{n.Egress != nil, "an egress block", network.CapPolicy},
		{n.Limits != plan.NetworkLimits{}, "limits", network.CapPolicy},
		{len(n.Services) > 0, "services", network.CapPolicy},
		{len(n.Published) > 0, "published ports", network.CapPublish},
	} {
		if !c.asked || slices.Contains(capabilities, c.capability) {
			continue
		}
		if c.capability == network.CapPolicy {
			return errdef.New(errdef.ErrUnsupported, "network %s decides nothing about what its guest reaches, which is up to the host's routes and firewall: %s would be without effect", n.Plugin, c.what).
				WithRemedy("take that out, or use network \"slirp\"")
		}
		return errdef.New(errdef.ErrUnsupported, "network %s has no %s", n.Plugin, c.what).WithRemedy("take that out, or use network \"slirp\"")
	}
	return nil
}
