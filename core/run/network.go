package run

import (
	"fmt"
	"net"
	"slices"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/policy"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// netDevice is the ID of a VM's network device.
const netDevice = "net0"

// checkNetwork finds what a network block asks for and cannot get: a device for it, a plugin, a policy that can be held.
func (r *Run) checkNetwork(s *plan.Sandbox, b backend) error {
	able, err := r.cfg.Host.Capabilities(r.ctx, b.kind, b.name)
	switch {
	case err != nil:
		return err
	case !slices.Contains(able, vmm.CapNet):
		return errdef.New(errdef.ErrUnsupported, "sandbox %s: networks are not supported yet on backend %s", s.Name, b.name).
			WithRemedy("take the network block out")
	}
	if err := r.cfg.Host.Find(r.ctx, base.KindNetwork, s.Network.Plugin); err != nil {
		return fmt.Errorf("sandbox %s: network %s: %w", s.Name, s.Network.Plugin, err)
	}
	able, err = r.cfg.Host.Capabilities(r.ctx, base.KindNetwork, s.Network.Plugin)
	if err == nil {
		err = policy.CheckCapable(s.Network, able)
	}
	if err == nil {
		_, err = policy.Attachment(s.Network, policy.LocalHost())
	}
	if err != nil {
		return fmt.Errorf("sandbox %s: %w", s.Name, err)
	}
	return r.checkCapture(s)
}

// guestNetwork is what the guest agent configures.
func guestNetwork(a network.Attachment) boot.Network {
	i := boot.Interface{MAC: net.HardwareAddr(a.GuestMAC).String(), MTU: a.MTU}
	for _, p := range a.Guest {
		i.Addresses = append(i.Addresses, p.String())
	}
	for _, p := range a.Gateway {
		i.Gateways = append(i.Gateways, p.Addr().String())
	}
	n := boot.Network{Interfaces: []boot.Interface{i}}
	for _, addr := range a.DNS {
		n.DNS = append(n.DNS, addr.String())
	}
	return n
}
