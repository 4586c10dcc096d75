package slirp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/voidbox-run/voidbox/internal/wiretest"
)

func TestARP(t *testing.T) {
	other := net.HardwareAddr{0x52, 0x54, 0, 0xaa, 0xbb, 0xcc}
	addr := netip.MustParseAddr
	for name, tc := range map[string]struct {
		m      wiretest.Message
		answer bool
	}{
		"the gateway":                      {wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP}, true},
		"the resolver":                     {wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.DNSIP}, true},
		"any neighbour":                    {wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: addr("10.0.2.200")}, true},
		"the guest itself":                 {wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.GuestIP}, false},
		"a probe of the guest's address":   {wiretest.ARP{SenderIP: addr("0.0.0.0"), TargetIP: wiretest.GuestIP}, false},
		"a probe of another address":       {wiretest.ARP{SenderIP: addr("0.0.0.0"), TargetIP: addr("10.0.2.99")}, true},
		"another network":                  {wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: addr("192.168.1.1")}, false},
		"from another address":             {wiretest.ARP{SenderIP: addr("10.0.2.77"), TargetIP: wiretest.GatewayIP}, false},
		"for another hardware address":     {wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP, SenderMAC: other}, false},
		"from another hardware address":    {wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP, EtherFrom: other}, false},
		"a reply":                          {wiretest.ARP{Op: 2, SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP}, false},
		"an unknown operation":             {wiretest.ARP{Op: 9, SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP}, false},
		"too short":                        {wiretest.Mangled{Message: wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP}, Change: func(b []byte) []byte { return b[:30] }}, false},
		"addresses of another size":        {wiretest.Mangled{Message: wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP}, Change: set(18, 8)}, false},
		"a kind of hardware not Ethernet":  {wiretest.Mangled{Message: wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP}, Change: set(15, 6)}, false},
		"a protocol that is not IPv4":      {wiretest.Mangled{Message: wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP}, Change: set(16, 0x86)}, false},
		"the broadcast address of the net": {wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: addr("10.0.3.0")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Send(tc.m)
			// Settled asks for the gateway, too, which is answered last.
			w.Send(wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: addr("10.0.2.254")})
			answers := 0
			for {
				p := w.Expect("an ARP reply", wiretest.IsARP)
				if p.SenderIP == addr("10.0.2.254") {
					break
				}
				answers++
				if p.ARPOp != 2 || p.SenderMAC.String() != wiretest.GatewayMAC.String() || p.To.String() != wiretest.GuestMAC.String() {
					t.Errorf("%v", p)
				}
			}
			if (answers == 1) != tc.answer {
				t.Errorf("%d answers", answers)
			}
		})
	}
}

func TestEchoOfTheGateway(t *testing.T) {
	w := newWorld(t)
	for _, to := range []netip.Addr{wiretest.GatewayIP, wiretest.DNSIP, wiretest.GatewayIP6} {
		from := wiretest.GuestIP
		reply := wiretest.IsICMP(0, 0)
		if to.Is6() {
			from, reply = wiretest.GuestIP6, wiretest.IsICMP(129, 0)
		}
		w.Send(wiretest.Echo{From: from, To: to, ID: 7, Seq: 3, Payload: []byte("are you there?")})
		p := w.Expect("an echo reply", reply, wiretest.FromAddr(to))
		if string(p.Payload) != "are you there?" || p.Rest != [4]byte{0, 7, 0, 3} {
			t.Errorf("%v with %q, identifier and sequence %v", p, p.Payload, p.Rest)
		}
	}
}

func TestEchoThatIsDenied(t *testing.T) {
	w := newWorld(t)
	w.Send(wiretest.Echo{From: wiretest.GuestIP, To: testNet, ID: 1, Seq: 1})
	w.Expect("prohibited", wiretest.IsICMP(3, 13))
}

// askDHCP is a request of the guest's.
func askDHCP(kind byte, options ...byte) wiretest.Message {
	b := make([]byte, 240)
	b[0], b[1], b[2] = 1, 1, 6
	binary.BigEndian.PutUint32(b[4:], 0xfeedbeef)
	copy(b[28:], wiretest.GuestMAC)
	binary.BigEndian.PutUint32(b[236:], 0x63825363)
	b = append(append(append(b, 53, 1, kind), options...), 255)
	return wiretest.UDP{From: addrPort(netip.IPv4Unspecified(), 68), To: addrPort(netip.AddrFrom4([4]byte{255, 255, 255, 255}), 67), Payload: b}
}

func TestDHCP(t *testing.T) {
	wanted := func(last byte) []byte { return []byte{50, 4, 10, 0, 2, last} }
	for name, tc := range map[string]struct {
		ask    wiretest.Message
		answer byte // its type, 0 for none
	}{
		"discover":                        {askDHCP(1), 2},
		"request":                         {askDHCP(3, wanted(15)...), 5},
		"request of another address":      {askDHCP(3, wanted(16)...), 6},
		"request from another server":     {askDHCP(3, append(wanted(15), 54, 4, 10, 0, 2, 9)...), 0},
		"inform":                          {askDHCP(8), 5},
		"release":                         {askDHCP(7), 0},
		"unknown":                         {askDHCP(99), 0},
		"an option without length":        {askDHCP(1, 12), 0},
		"an option longer than there":     {askDHCP(1, 12, 200, 'x'), 0},
		"no type":                         {wiretest.Mangled{Message: askDHCP(0), Change: func(b []byte) []byte { return b }}, 0},
		"of another hardware address":     {wiretest.UDP{From: addrPort(netip.IPv4Unspecified(), 68), To: addrPort(wiretest.GatewayIP, 67), Payload: make([]byte, 300)}, 0},
		"too short":                       {wiretest.UDP{From: addrPort(netip.IPv4Unspecified(), 68), To: addrPort(wiretest.GatewayIP, 67), Payload: make([]byte, 30)}, 0},
		"padding, and a repeated request": {askDHCP(3, append([]byte{0, 0, 0}, wanted(15)...)...), 5},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Send(tc.ask)
			came := w.Settled(wiretest.IsUDP)
			if len(came) != 1 {
				if tc.answer != 0 || len(came) != 0 {
					t.Errorf("%d answers", len(came))
				}
				return
			}
			p := came[0]
			if got := p.Payload[242]; got != tc.answer || p.Source.Port() != 67 || p.Dest.Port() != 68 {
				t.Fatalf("answer %d, %v", got, p)
			}
			if offered := netip.AddrFrom4([4]byte(p.Payload[16:])); tc.answer == 2 && offered != wiretest.GuestIP {
				t.Errorf("it offers %v", offered)
			}
		})
	}
}

// solicit is a neighbour solicitation of the guest's.
func solicit(from, target netip.Addr) wiretest.Message {
	body := make([]byte, 24)
	body[0] = 135
	copy(body[8:], target.AsSlice())
	group := target.As16()
	to := netip.AddrFrom16([16]byte{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, group[13], group[14], group[15]})
	return wiretest.Mangled{
		Message: wiretest.IP{From: from, To: to, Proto: 58, Payload: wiretest.ICMPChecksum(body, from, to)},
		Change: func(b []byte) []byte {
			copy(b, net.HardwareAddr{0x33, 0x33, 0xff, group[13], group[14], group[15]})
			return b
		},
	}
}

func TestNeighbourDiscovery(t *testing.T) {
	addr := netip.MustParseAddr
	local := addr("fe80::5054:ff:fe12:3456")
	for name, tc := range map[string]struct {
		m      wiretest.Message
		answer bool
	}{
		"the gateway":                     {solicit(wiretest.GuestIP6, wiretest.GatewayIP6), true},
		"any neighbour":                   {solicit(wiretest.GuestIP6, addr("fd00:2::99")), true},
		"the router on the link":          {solicit(local, addr("fe80::5054:ff:fe12:3401")), true},
		"the guest itself":                {solicit(wiretest.GuestIP6, wiretest.GuestIP6), false},
		"is the guest's address free":     {solicit(addr("::"), wiretest.GuestIP6), false},
		"is its address of the link free": {solicit(addr("::"), local), false},
		"another network":                 {solicit(wiretest.GuestIP6, addr("2001:db8::1")), false},
		"from a stranger":                 {solicit(addr("2001:db8::1"), wiretest.GatewayIP6), false},
		"not from the link":               {wiretest.Mangled{Message: solicit(wiretest.GuestIP6, wiretest.GatewayIP6), Change: set(21, 64)}, false},
		"too short":                       {wiretest.IP{From: local, To: addr("ff02::1"), Proto: 58, Payload: wiretest.ICMPChecksum(append([]byte{135}, make([]byte, 9)...), local, addr("ff02::1"))}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Send(tc.m)
			came := w.Settled(wiretest.IsICMP(136, 0))
			if (len(came) == 1) != tc.answer {
				t.Errorf("%d answers", len(came))
			}
		})
	}
}

func TestRouterAdvertisement(t *testing.T) {
	w := newWorld(t)
	from, to := netip.IPv6Unspecified(), netip.MustParseAddr("ff02::2")
	w.Send(wiretest.IP{From: from, To: to, Proto: 58, Payload: wiretest.ICMPChecksum(append([]byte{133}, make([]byte, 7)...), from, to)})
	p := w.Expect("a router advertisement", wiretest.IsICMP(134, 0))
	if !p.Source.Addr().IsLinkLocalUnicast() || p.Dest.Addr() != netip.IPv6LinkLocalAllNodes() {
		t.Errorf("%v", p)
	}
	prefix := netip.MustParseAddr("fd00:2::").As16()
	found := false
	for options := p.Payload[8:]; len(options) >= 8; options = options[int(options[1])*8:] {
		if options[1] == 0 {
			t.Fatal("an option without length")
		}
		found = found || options[0] == 3 && options[2] == 64 && [16]byte(options[16:32]) == prefix
	}
	if !found {
		t.Error("it does not advertise the prefix")
	}
}
