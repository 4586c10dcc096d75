package policy

import (
	"net"
	"net/netip"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// The usual layout of a guest's network, as QEMU and its kin have had it for long: hosts 2, 3 and 15 of 10.0.2.0/24 are gateway,
// resolver and guest. The IPv6 network is one of those that nobody routes (RFC 4193); its digits spell voidbox.
var (
	usualSubnet     = netip.MustParsePrefix("10.0.2.0/24")
	usualSubnet6    = netip.MustParsePrefix("fd76:6f69:6462:6f78::/64")
	usualGuestMAC   = net.HardwareAddr{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}
	usualGatewayMAC = net.HardwareAddr{0x52, 0x54, 0x00, 0x12, 0x34, 0x01}
)

const (
	gatewayHost, dnsHost, guestHost = 2, 3, 15

	// DefaultMTU is Ethernet's.
	DefaultMTU = 1500
	minMTU     = 576   // what every host must take (RFC 791)
	minMTU6    = 1280  // RFC 8200
	maxMTU     = 65520 // what offloads can still number

	subnet6Bits = 64 // without which guests cannot give themselves addresses (RFC 4862)
)

// Host is what a machine has to offer to networks.
type Host struct {
	IPv6 bool // there is a way to the IPv6 internet
}

// Layout compiles the addresses of a guest's network.
func Layout(l plan.NetworkLayout, h Host) (network.Attachment, error) {
	a := network.Attachment{GuestMAC: usualGuestMAC, GatewayMAC: usualGatewayMAC, MTU: l.MTU}
	if a.MTU == 0 {
		a.MTU = DefaultMTU
	}
	if err := setMACs(&a, l); err != nil {
		return a, err
	}
	if err := setIPv4(&a, l); err != nil {
		return a, err
	}
	least := minMTU
	if l.IPv6 == plan.IPv6On || l.IPv6 != plan.IPv6Off && h.IPv6 {
		least = minMTU6
		if err := setIPv6(&a, l); err != nil {
			return a, err
		}
	}
	if a.MTU < least || a.MTU > maxMTU {
		return a, errdef.New(errdef.ErrInvalid, "an MTU of %d is not between %d and %d", a.MTU, least, maxMTU)
	}
	return a, nil
}

func setMACs(a *network.Attachment, l plan.NetworkLayout) error {
	for _, m := range []struct {
		text string
		to   *net.HardwareAddr
	}{{l.GuestMAC, &a.GuestMAC}, {l.GatewayMAC, &a.GatewayMAC}} {
		if m.text == "" {
			continue
		}
		mac, err := net.ParseMAC(m.text)
		if err != nil || len(mac) != 6 || mac[0]&1 != 0 || mac.String() == "00:00:00:00:00:00" {
			return errdef.New(errdef.ErrInvalid, "%q is no hardware address of a host, such as %s", m.text, usualGuestMAC)
		}
		*m.to = mac
	}
	if a.GuestMAC.String() == a.GatewayMAC.String() {
		return errdef.New(errdef.ErrInvalid, "guest and gateway have the same hardware address, %s", a.GuestMAC)
	}
	return nil
}

func setIPv4(a *network.Attachment, l plan.NetworkLayout) error {
	subnet := usualSubnet
	if l.Subnet != "" {
		p, err := netip.ParsePrefix(l.Subnet)
		if err != nil || !p.Addr().Is4() || p != p.Masked() {
			return errdef.New(errdef.ErrInvalid, "%q is no IPv4 network, such as %s", l.Subnet, usualSubnet)
		}
		if p.Bits() == 0 || nobody(p.Addr()) || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() {
			return errdef.New(errdef.ErrInvalid, "no guest can live in %s", p)
		}
		subnet = p
	}
	taken := map[netip.Addr]string{}
	pick := func(what, text string, host int) (netip.Addr, error) {
		addr := nth(subnet, host)
		if text != "" {
			var err error
			if addr, err = netip.ParseAddr(text); err != nil {
				return addr, errdef.New(errdef.ErrInvalid, "%s: %q is no address", what, text)
			}
		}
		switch {
		case !subnet.Contains(addr) || addr == subnet.Addr() || addr == last(subnet):
			return addr, errdef.New(errdef.ErrInvalid, "%s: %v is no host of %v", what, addr, subnet).WithRemedy("name one that is")
		case taken[addr] != "":
			return addr, errdef.New(errdef.ErrInvalid, "%s and %s have the same address, %v", taken[addr], what, addr)
		}
		taken[addr] = what
		return addr, nil
	}
	guest, err := pick("guest", l.Guest, guestHost)
	if err != nil {
		return err
	}
	gateway, err := pick("gateway", l.Gateway, gatewayHost)
	if err != nil {
		return err
	}
	dns, err := pick("dns", l.DNS, dnsHost)
	if err != nil {
		return err
	}
	a.Guest = append(a.Guest, netip.PrefixFrom(guest, subnet.Bits()))
	a.Gateway = append(a.Gateway, netip.PrefixFrom(gateway, subnet.Bits()))
	a.DNS = append(a.DNS, dns)
	return nil
}

// setIPv6 gives the guest the address that it would give itself (RFC 4862), so that one that is told and one that is not agree.
func setIPv6(a *network.Attachment, l plan.NetworkLayout) error {
	subnet := usualSubnet6
	if l.Subnet6 != "" {
		p, err := netip.ParsePrefix(l.Subnet6)
		if err != nil || !p.Addr().Is6() || p.Addr().Is4In6() || p != p.Masked() || p.Bits() != subnet6Bits {
			return errdef.New(errdef.ErrInvalid, "%q is no IPv6 network of %d bits, such as %s", l.Subnet6, subnet6Bits, usualSubnet6)
		}
		if nobody(p.Addr()) || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() {
			return errdef.New(errdef.ErrInvalid, "no guest can live in %s", p)
		}
		subnet = p
	}
	a.Guest = append(a.Guest, netip.PrefixFrom(eui64(subnet, a.GuestMAC), subnet.Bits()))
	a.Gateway = append(a.Gateway, netip.PrefixFrom(nth(subnet, gatewayHost), subnet.Bits()))
	return nil
}

// eui64 is the address that a card gives itself in a network (RFC 4291, appendix A).
func eui64(p netip.Prefix, m net.HardwareAddr) netip.Addr {
	b := p.Addr().As16()
	copy(b[8:], []byte{m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
	return netip.AddrFrom16(b)
}

// nth is a host of a network, by its number.
func nth(p netip.Prefix, n int) netip.Addr {
	a := p.Addr()
	for range n {
		a = a.Next()
	}
	return a
}

// last is the broadcast address of an IPv4 network.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

// documentation is an address that nobody has (RFC 3849), so that nothing can be sent there.
const documentation = "[2001:db8::1]:9"

// LocalHost looks at this machine. Nothing is sent: to connect a datagram socket asks for a route, and no more.
func LocalHost() Host {
	conn, err := net.Dial("udp6", documentation)
	if err != nil {
		return Host{}
	}
	defer conn.Close()
	from, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return Host{IPv6: err == nil && from.Addr().IsGlobalUnicast()}
}
