package run

import (
	"context"
	"fmt"
	"net"
	"slices"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/policy"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// netDevice is the ID of a VM's network device.
const netDevice = "net0"

// connection is a VM's way to its network plugin. The zero value is a VM without a network.
type connection struct {
	links []vmm.Link
	guest boot.Network
	end   func(ctx context.Context) error
}

func (c connection) close(ctx context.Context) error {
	if c.end == nil {
		return nil
	}
	return c.end(ctx)
}

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

// connect starts the network plugin of a sandbox, one process for each, and attaches the guest that is to come.
func (r *Run) connect(ctx context.Context, s *plan.Sandbox, events event.Scope) (connection, error) {
	if s.Network == nil {
		return connection{}, nil
	}
	attachment, err := policy.Attachment(s.Network, policy.LocalHost())
	if err != nil {
		return connection{}, &ConfigError{Err: fmt.Errorf("sandbox %s: %w", s.Name, err)}
	}
	plugin, err := r.crew.own(r.ctx, ctx, pluginhost.Request{
		Kind: base.KindNetwork, Name: s.Network.Plugin, Instance: s.Name, Config: s.Network.Config,
	})
	if err != nil {
		return connection{}, err
	}
	attached, err := plugin.Network().Attach(ctx, attachment)
	if err != nil {
		r.cleanUp(plugin.Close)
		return connection{}, fmt.Errorf("sandbox %s: network: %w", s.Name, sorted(err))
	}
	net := r.networks.open(ctx, s.Name, attachment, plugin, events)
	if err := r.capture(ctx, net); err != nil {
		r.cleanUp(func(ctx context.Context) error { return r.networks.close(ctx, net) })
		return connection{}, fmt.Errorf("sandbox %s: %w", s.Name, err)
	}
	net.ports.noteAttached(attachment.Published, attached.Published)
	return connection{
		links: []vmm.Link{{
			Kind: vmm.LinkNet, ID: netDevice, SocketPath: attached.SocketPath, MAC: attachment.GuestMAC, MTU: attachment.MTU, Queues: attachment.QueuePairs,
		}},
		guest: guestNetwork(attachment), end: func(ctx context.Context) error { return r.networks.close(ctx, net) },
	}, nil
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
