package slirp

import (
	"fmt"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/nic"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

const (
	nicID       = tcpip.NICID(1)
	tcpProtocol = uint8(header.TCPProtocolNumber)
	minMTU      = 68   // RFC 791
	minMTU6     = 1280 // RFC 8200
	defaultMTU  = 1500
)

// check completes an attachment and refuses one that makes no sense.
func check(a *network.Attachment) error {
	if a.MTU == 0 {
		a.MTU = defaultMTU
	}
	if a.QueuePairs == 0 {
		a.QueuePairs = 1
	}
	least := minMTU
	for _, p := range a.Guest {
		if p.Addr().Is6() {
			least = minMTU6
		}
	}
	switch {
	case len(a.Guest) == 0 || len(a.Gateway) == 0:
		return errdef.New(errdef.ErrInvalid, "a guest and its gateway need addresses")
	case a.MTU < least:
		return errdef.New(errdef.ErrInvalid, "an MTU of %d is less than %d", a.MTU, least)
	}
	for _, s := range a.Services {
		if s.UnixPath != "" {
			continue
		}
		if _, err := netip.ParseAddrPort(s.TCPAddress + s.UDPAddress); err != nil {
			return errdef.New(errdef.ErrInvalid, "service %q: %w", s.Name, err)
		}
	}
	return nil
}

// newStack makes a netstack that takes what is for anybody and speaks for anybody.
func newStack(card *nic.Endpoint, a network.Attachment) (*stack.Stack, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	if err := s.CreateNIC(nicID, card); err != nil {
		s.Destroy()
		return nil, fmt.Errorf("netstack: %s", err)
	}
	for _, p := range a.Gateway {
		proto := header.IPv4ProtocolNumber
		if p.Addr().Is6() {
			proto = header.IPv6ProtocolNumber
		}
		addr := tcpip.ProtocolAddress{
			Protocol: proto, AddressWithPrefix: tcpip.AddressWithPrefix{Address: toStack(p.Addr()), PrefixLen: p.Bits()},
		}
		if err := s.AddProtocolAddress(nicID, addr, stack.AddressProperties{}); err != nil {
			s.Destroy()
			return nil, fmt.Errorf("netstack: gateway %v: %s", p, err)
		}
	}
	s.SetPromiscuousMode(nicID, true)
	s.SetSpoofing(nicID, true)
	s.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nicID},
		{Destination: header.IPv6EmptySubnet, NIC: nicID},
	})
	return s, nil
}
