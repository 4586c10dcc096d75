package run

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/policy"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/network"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// maxRelinks is how often a guest gets another network plugin in the place of one that died. What kills it again and again might
// be the guest.
const maxRelinks = 3

// uplink is a guest's way to its network plugin. When the plugin dies while the guest runs, another takes its place, and the
// guest sees its cable pulled out and put in again: connections are lost, the machine is not. A nil uplink is a guest without a
// network.
type uplink struct {
	run        *Run
	spec       *plan.Sandbox
	attachment network.Attachment
	events     event.Scope

	ctx    context.Context // ends when the guest leaves
	cancel context.CancelFunc

	mu      sync.Mutex
	plugin  *member   // the present one, or the last
	net     *guestNet // of the present one; nil where there is none any more
	link    vmm.Link
	monitor vmm.VMM // of the guest, once it runs; nil where it could not take another link
	relinks int
}

// connect starts the network plugin of a sandbox, one process for each, and attaches the guest that is to come.
func (r *Run) connect(ctx context.Context, s *plan.Sandbox, events event.Scope) (*uplink, error) {
	if s.Network == nil {
		return nil, nil
	}
	attachment, err := policy.Attachment(s.Network, policy.LocalHost())
	if err != nil {
		return nil, &ConfigError{Err: fmt.Errorf("sandbox %s: %w", s.Name, err)}
	}
	u := &uplink{run: r, spec: s, attachment: attachment, events: events}
	u.ctx, u.cancel = context.WithCancel(r.ctx)
	u.mu.Lock() // a plugin that dies at once is told of when this is done
	defer u.mu.Unlock()
	if err := u.attach(ctx, attachment); err != nil {
		u.cancel()
		return nil, err
	}
	return u, nil
}

// attach starts a plugin and makes it the guest's.
func (u *uplink) attach(ctx context.Context, a network.Attachment) error {
	r := u.run
	m, err := r.crew.replaceable(r.ctx, ctx, pluginhost.Request{
		Kind: base.KindNetwork, Name: u.spec.Network.Plugin, Instance: u.spec.Name, Config: u.spec.Network.Config,
	}, u.died)
	if err != nil {
		return err
	}
	plugin := m.plugin
	attached, err := plugin.Network().Attach(ctx, a)
	if err != nil {
		r.cleanUp(plugin.Close)
		return fmt.Errorf("sandbox %s: network: %w", u.spec.Name, sorted(err))
	}
	net := r.networks.open(ctx, u.spec.Name, a, plugin, u.events)
	if err := r.capture(ctx, net); err != nil {
		r.cleanUp(func(ctx context.Context) error { return r.networks.close(ctx, net) })
		return fmt.Errorf("sandbox %s: %w", u.spec.Name, err)
	}
	net.ports.noteAttached(a.Published, attached.Published)
	u.plugin, u.net = m, net
	m.spare.Store(u.monitor != nil)
	u.link = vmm.Link{Kind: vmm.LinkNet, ID: netDevice, SocketPath: attached.SocketPath, MAC: a.GuestMAC, MTU: a.MTU, Queues: a.QueuePairs}
	return nil
}

// links are the devices by which the guest reaches its network.
func (u *uplink) links() []vmm.Link {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return []vmm.Link{u.link}
}

// guest is what the guest's agent configures.
func (u *uplink) guest() boot.Network {
	if u == nil {
		return boot.Network{}
	}
	return guestNetwork(u.attachment)
}

// running says that the guest runs now, and how it is told of another link.
func (u *uplink) running(monitor vmm.VMM, able []string) {
	if u == nil || !slices.Contains(able, vmm.CapRelink) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.monitor = monitor
	u.plugin.spare.Store(true)
}

// died is told that the present plugin has died. What it cannot mend ends the run.
func (u *uplink) died(death *PluginError) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ctx.Err() != nil {
		return // the guest has left, or the run ends
	}
	if u.monitor != nil {
		if death.Also = u.replace(death); death.Also == nil {
			return
		}
	}
	u.plugin.spare.Store(false)
	if u.ctx.Err() == nil {
		u.run.crew.died(death)
	}
}

// replace puts another plugin in the place of one that died.
func (u *uplink) replace(death error) error {
	switch {
	case u.relinks == maxRelinks:
		return fmt.Errorf("%d have died already", u.relinks)
	case u.attachment.Policy.Limits.TotalBytes > 0:
		return errors.New("it would begin to count anew what total_bytes bounds")
	}
	u.relinks++
	u.events.Emit(event.Warning{
		Message: fmt.Sprintf("sandbox %s: %s; another one takes its place, and the guest's connections are lost", u.spec.Name, event.Clean(death.Error())),
	})
	old := u.net
	u.net = nil
	u.run.cleanUp(func(ctx context.Context) error {
		_ = u.run.networks.close(ctx, old) // of its death everybody knows
		return nil
	})
	a := u.attachment
	a.Published, a.Policy = old.ports.again(), *old.policy.Load()
	if err := u.attach(u.ctx, a); err != nil {
		return err
	}
	if err := u.monitor.Relink(u.ctx, u.link); err != nil {
		return fmt.Errorf("connect the guest with it: %w", err)
	}
	return nil
}

// close ends the network, which the guest has left.
func (u *uplink) close(ctx context.Context) error {
	if u == nil {
		return nil
	}
	u.cancel()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.net == nil {
		return nil
	}
	return u.run.networks.close(ctx, u.net)
}

// again are the ports as they are published now, to be published by another plugin.
func (p *ports) again() []network.PublishedPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []network.PublishedPort
	for guest, at := range p.at {
		out = append(out, network.PublishedPort{Protocol: guest.protocol, Host: at.Addr(), HostPort: at.Port(), GuestPort: guest.port})
	}
	slices.SortFunc(out, func(a, b network.PublishedPort) int {
		return netip.AddrPortFrom(a.Host, a.HostPort).Compare(netip.AddrPortFrom(b.Host, b.HostPort))
	})
	return out
}
