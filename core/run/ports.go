package run

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// ports are the published ports of one guest, for those who ask where they are.
type ports struct {
	mu sync.Mutex
	at map[guestPort]netip.AddrPort
}

type guestPort struct {
	protocol network.Protocol
	port     uint16
}

// noteAttached notes the ports that came with the attachment.
func (p *ports) noteAttached(asked []network.PublishedPort, at []netip.AddrPort) {
	for i, port := range asked {
		if i < len(at) {
			p.note(port, at[i])
		}
	}
}

func (p *ports) note(port network.PublishedPort, at netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[guestPort]netip.AddrPort{}
	}
	p.at[guestPort{port.Protocol, port.GuestPort}] = at
}

func (p *ports) forget(protocol network.Protocol, port uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.at, guestPort{protocol, port})
}

func (p *ports) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for guest, at := range p.at {
		out = append(out, fmt.Sprintf("%s %v -> %d", guest.protocol, at, guest.port))
	}
	slices.Sort(out)
	return out
}

func (p *ports) where(protocol network.Protocol, port uint16) (netip.AddrPort, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.at[guestPort{protocol, port}]
	if !ok {
		return at, errdef.New(errdef.ErrNotFound, "%s port %d is not published", protocol, port)
	}
	return at, nil
}

func (g *guestNet) publish(ctx context.Context, p network.PublishedPort) (netip.AddrPort, error) {
	at, err := g.Publish(ctx, p)
	if err == nil {
		g.ports.note(p, at)
	}
	return at, err
}

func (g *guestNet) unpublish(ctx context.Context, protocol network.Protocol, port uint16) error {
	err := g.Unpublish(ctx, protocol, port)
	if err == nil {
		g.ports.forget(protocol, port)
	}
	return err
}
