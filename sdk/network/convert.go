package network

import (
	"math"
	"net"
	"net/netip"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Bounds of an attachment.
const (
	macLen      = 6
	maxMTU      = 65535
	maxQueues   = 64
	maxElements = 4096 // addresses, ports and services, each
)

func attachmentToProto(a Attachment) (*pluginv1.AttachNetworkRequest, error) {
	policy, err := policyToProto(a.Policy)
	if err != nil {
		return nil, err
	}
	if a.MTU < 0 || a.QueuePairs < 0 {
		return nil, errdef.New(errdef.ErrInvalid, "an MTU of %d with %d queue pairs is negative", a.MTU, a.QueuePairs)
	}
	req := &pluginv1.AttachNetworkRequest{
		GuestMac: a.GuestMAC, GatewayMac: a.GatewayMAC,
		Mtu: uint32(a.MTU), QueuePairs: uint32(a.QueuePairs),
		GuestAddresses: texts(a.Guest), GatewayAddresses: texts(a.Gateway), DnsAddresses: texts(a.DNS),
		Policy: policy,
	}
	for _, p := range a.Published {
		req.Published = append(req.Published, publishedToProto(p))
	}
	for _, s := range a.Services {
		service := &pluginv1.Service{Name: s.Name, GuestAddress: s.Guest.String()}
		switch {
		case s.UnixPath != "":
			service.Target = &pluginv1.Service_UnixPath{UnixPath: s.UnixPath}
		case s.UDPAddress != "":
			service.Target = &pluginv1.Service_UdpAddress{UdpAddress: s.UDPAddress}
		default:
			service.Target = &pluginv1.Service_TcpAddress{TcpAddress: s.TCPAddress}
		}
		req.Services = append(req.Services, service)
	}
	return req, nil
}

func attachmentFromProto(req *pluginv1.AttachNetworkRequest) (Attachment, error) {
	a := Attachment{
		GuestMAC: net.HardwareAddr(req.GetGuestMac()), GatewayMAC: net.HardwareAddr(req.GetGatewayMac()),
		MTU: int(req.GetMtu()), QueuePairs: int(req.GetQueuePairs()),
	}
	if len(a.GuestMAC) != macLen || len(a.GatewayMAC) != macLen {
		return a, errdef.New(errdef.ErrInvalid, "a hardware address has %d bytes", macLen)
	}
	if a.MTU > maxMTU || a.QueuePairs > maxQueues {
		return a, errdef.New(errdef.ErrInvalid, "an MTU of %d with %d queue pairs is more than %d with %d", a.MTU, a.QueuePairs, maxMTU, maxQueues)
	}
	var err error
	if a.Guest, err = parseAll(req.GetGuestAddresses(), netip.ParsePrefix); err != nil {
		return a, err
	}
	if a.Gateway, err = parseAll(req.GetGatewayAddresses(), netip.ParsePrefix); err != nil {
		return a, err
	}
	if a.DNS, err = parseAll(req.GetDnsAddresses(), netip.ParseAddr); err != nil {
		return a, err
	}
	if a.Policy, err = policyFromProto(req.GetPolicy()); err != nil {
		return a, err
	}
	if a.Published, err = parseAll(req.GetPublished(), publishedFromProto); err != nil {
		return a, err
	}
	a.Services, err = parseAll(req.GetServices(), serviceFromProto)
	return a, err
}

func publishedToProto(p PublishedPort) *pluginv1.PublishedPort {
	out := &pluginv1.PublishedPort{Protocol: string(p.Protocol), HostPort: uint32(p.HostPort), GuestPort: uint32(p.GuestPort)}
	if p.Host.IsValid() {
		out.HostAddress = p.Host.String()
	}
	return out
}

func publishedFromProto(p *pluginv1.PublishedPort) (PublishedPort, error) {
	var out PublishedPort
	var err error
	if out.Protocol, err = protocolFromProto(p.GetProtocol()); err != nil {
		return out, err
	}
	if out.Protocol == ICMP {
		return out, errdef.New(errdef.ErrInvalid, "icmp has no port to publish")
	}
	if out.HostPort, err = portFromProto("host", p.GetHostPort()); err != nil {
		return out, err
	}
	if out.GuestPort, err = portFromProto("guest", p.GetGuestPort()); err != nil {
		return out, err
	}
	if out.GuestPort == 0 {
		return out, errdef.New(errdef.ErrInvalid, "a published port needs a port of the guest")
	}
	if text := p.GetHostAddress(); text != "" {
		if out.Host, err = netip.ParseAddr(text); err != nil {
			return out, errdef.New(errdef.ErrInvalid, "published port: %w", err)
		}
	}
	return out, nil
}

func serviceFromProto(s *pluginv1.Service) (Service, error) {
	out := Service{Name: s.GetName(), UnixPath: s.GetUnixPath(), TCPAddress: s.GetTcpAddress(), UDPAddress: s.GetUdpAddress()}
	if out.UnixPath == "" && out.TCPAddress == "" && out.UDPAddress == "" {
		return out, errdef.New(errdef.ErrInvalid, "service %q needs a unix path, a TCP address or a UDP address", out.Name)
	}
	var err error
	if out.Guest, err = netip.ParseAddrPort(s.GetGuestAddress()); err != nil {
		return out, errdef.New(errdef.ErrInvalid, "service %q: %w", out.Name, err)
	}
	return out, nil
}

func protocolFromProto(text string) (Protocol, error) {
	switch p := Protocol(text); p {
	case TCP, UDP, ICMP:
		return p, nil
	}
	return "", errdef.New(errdef.ErrInvalid, "protocol %q is none of tcp, udp, icmp", text)
}

func portFromProto(whose string, port uint32) (uint16, error) {
	if port > math.MaxUint16 {
		return 0, errdef.New(errdef.ErrInvalid, "%s port %d is more than %d", whose, port, math.MaxUint16)
	}
	return uint16(port), nil
}

// texts writes values as they are read back by parseAll.
func texts[T interface{ String() string }](values []T) []string {
	var out []string
	for _, v := range values {
		out = append(out, v.String())
	}
	return out
}

// parseAll parses every element of a list of bounded length.
func parseAll[S, T any](in []S, parse func(S) (T, error)) ([]T, error) {
	if len(in) > maxElements {
		return nil, errdef.New(errdef.ErrInvalid, "a list of %d elements is longer than %d", len(in), maxElements)
	}
	var out []T
	for _, element := range in {
		v, err := parse(element)
		if err != nil {
			return nil, errdef.New(errdef.ErrInvalid, "%w", err)
		}
		out = append(out, v)
	}
	return out, nil
}
