package run

import (
	"context"
	"net/netip"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Publish makes a port of the guest one of the host.
func (b *Box) Publish(ctx context.Context, p network.PublishedPort) (netip.AddrPort, error) {
	g, err := b.run.networks.only("")
	if err != nil {
		return netip.AddrPort{}, err
	}
	return g.publish(ctx, p)
}

// Unpublish undoes Publish.
func (b *Box) Unpublish(ctx context.Context, protocol network.Protocol, port uint16) error {
	g, err := b.run.networks.only("")
	if err != nil {
		return err
	}
	return g.unpublish(ctx, protocol, port)
}

// Published says where on the host a port of the guest is.
func (b *Box) Published(protocol network.Protocol, port uint16) (netip.AddrPort, error) {
	g, err := b.run.networks.only("")
	if err != nil {
		return netip.AddrPort{}, err
	}
	return g.ports.where(protocol, port)
}

// Explain says what the network would do with a flow of the guest's.
func (b *Box) Explain(ctx context.Context, f network.Flow) (network.Verdict, error) {
	g, err := b.run.networks.only("")
	if err != nil {
		return network.Verdict{}, err
	}
	return g.Explain(ctx, f)
}

// Traffic is what has gone through the guest's network so far; after Close, all of it.
func (b *Box) Traffic() event.Traffic { return b.run.networks.of(b.run.target.sandbox.Name) }
