package policy

import (
	"net"
	"net/netip"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// The usual layout of a guest's network, as QEMU and its kin have had it for long.
var (
	GuestMAC   = net.HardwareAddr{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}
	GatewayMAC = net.HardwareAddr{0x52, 0x54, 0x00, 0x12, 0x34, 0x01}

	Guest   = netip.MustParsePrefix("10.0.2.15/24")
	Gateway = netip.MustParsePrefix("10.0.2.2/24")
	DNS     = netip.MustParseAddr("10.0.2.3")
)

// DefaultMTU is Ethernet's.
const DefaultMTU = 1500

// Attachment compiles a network block into what its plugin is asked for.
func Attachment(n *plan.Network) (network.Attachment, error) {
	a := network.Attachment{
		GuestMAC: GuestMAC, GatewayMAC: GatewayMAC, MTU: DefaultMTU,
		Guest: []netip.Prefix{Guest}, Gateway: []netip.Prefix{Gateway}, DNS: []netip.Addr{DNS},
	}
	var err error
	if a.Policy, err = Egress(n); err != nil {
		return a, err
	}
	for _, s := range n.Services {
		service, err := Service(s)
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

// Service compiles a service, and refuses one that the guest could not reach or confuse with something else.
func Service(s plan.Service) (network.Service, error) {
	out := network.Service{Name: s.Name, UnixPath: s.UnixPath, TCPAddress: s.TCPAddress}
	guest, err := netip.ParseAddrPort(s.Address)
	switch {
	case err != nil:
		return out, errdef.New(errdef.ErrInvalid, "service %s: the guest dials an address with a port, such as %s, not %q", s.Name, netip.AddrPortFrom(Gateway.Addr(), 11434), s.Address)
	case guest.Port() == 0:
		return out, errdef.New(errdef.ErrInvalid, "service %s: port 0 cannot be dialled", s.Name)
	case guest.Addr() == DNS && guest.Port() == 53:
		return out, errdef.New(errdef.ErrInvalid, "service %s: %s is the guest's resolver", s.Name, guest)
	case guest.Addr() == Guest.Addr():
		return out, errdef.New(errdef.ErrInvalid, "service %s: %s is the guest's own address", s.Name, guest.Addr())
	case (s.UnixPath == "") == (s.TCPAddress == ""):
		return out, errdef.New(errdef.ErrInvalid, "service %s needs one of a unix socket and a TCP address", s.Name)
	}
	if s.TCPAddress != "" {
		if _, err := netip.ParseAddrPort(s.TCPAddress); err != nil {
			return out, errdef.New(errdef.ErrInvalid, "service %s: %w", s.Name, err)
		}
	}
	out.Guest = guest
	return out, nil
}
