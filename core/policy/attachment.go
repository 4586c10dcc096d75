package policy

import (
	"net/netip"
	"slices"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Attachment compiles a network block into what its plugin is asked for.
func Attachment(n *plan.Network, h Host) (network.Attachment, error) {
	a, err := Layout(n.Layout, h)
	if err != nil {
		return a, err
	}
	if a.Policy, err = Egress(n); err != nil {
		return a, err
	}
	for _, s := range n.Services {
		service, err := Service(s, a)
		if err != nil {
			return a, err
		}
		a.Services = append(a.Services, service)
	}
	for _, p := range n.Published {
		port := network.PublishedPort{Protocol: network.Protocol(p.Protocol), HostPort: uint16(p.HostPort), GuestPort: uint16(p.GuestPort)}
		if p.HostAddress != "" {
			if port.Host, err = netip.ParseAddr(p.HostAddress); err != nil {
				return a, errdef.New(errdef.ErrInvalid, "published port %d: %w", p.GuestPort, err)
			}
		}
		a.Published = append(a.Published, port)
	}
	return a, nil
}

// Service compiles a service in a layout, and refuses one that the guest could not reach or confuse with something else.
func Service(s plan.Service, layout network.Attachment) (network.Service, error) {
	out := network.Service{Name: s.Name, UnixPath: s.UnixPath, TCPAddress: s.TCPAddress, UDPAddress: s.UDPAddress}
	guest, err := netip.ParseAddrPort(s.Address)
	isGuest := func(p netip.Prefix) bool { return p.Addr() == guest.Addr() }
	switch {
	case err != nil:
		return out, errdef.New(errdef.ErrInvalid, "service %s: the guest dials an address with a port, such as %s, not %q", s.Name, netip.AddrPortFrom(layout.Gateway[0].Addr(), 11434), s.Address)
	case guest.Port() == 0:
		return out, errdef.New(errdef.ErrInvalid, "service %s: port 0 cannot be dialled", s.Name)
	case slices.Contains(layout.DNS, guest.Addr()) && guest.Port() == 53:
		return out, errdef.New(errdef.ErrInvalid, "service %s: %s is the guest's resolver", s.Name, guest)
	case slices.ContainsFunc(layout.Guest, isGuest):
		return out, errdef.New(errdef.ErrInvalid, "service %s: %s is the guest's own address", s.Name, guest.Addr())
	case targets(s) != 1:
		return out, errdef.New(errdef.ErrInvalid, "service %s needs one of a unix socket, a TCP address and a UDP address", s.Name)
	}
	if s.UnixPath == "" {
		if _, err := netip.ParseAddrPort(s.TCPAddress + s.UDPAddress); err != nil {
			return out, errdef.New(errdef.ErrInvalid, "service %s: %w", s.Name, err)
		}
	}
	out.Guest = guest
	return out, nil
}

// targets counts where a service leads.
func targets(s plan.Service) int {
	n := 0
	for _, target := range []string{s.UnixPath, s.TCPAddress, s.UDPAddress} {
		if target != "" {
			n++
		}
	}
	return n
}
