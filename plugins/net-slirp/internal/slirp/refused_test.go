package slirp

import (
	"net"
	"net/netip"
	"testing"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// What the card refuses is told of as what a policy denies is, with what is false about it.
func TestRefusalsAreTold(t *testing.T) {
	other, far := net.HardwareAddr{0x52, 0x54, 0, 0xaa, 0xbb, 0xcc}, netip.MustParseAddr("203.0.113.66")
	far6 := netip.MustParseAddr("2001:db8:66::66")
	guest, to := addrPort(wiretest.GuestIP, 20000), netip.AddrPortFrom(far, 80)
	datagram := func(from netip.AddrPort, mac net.HardwareAddr) wiretest.Message {
		return wiretest.UDP{From: from, To: to, Payload: []byte("x"), EtherFrom: mac}
	}
	timestamp := wiretest.ICMPChecksum([]byte{13, 0, 0, 0, 0, 1, 0, 1, 'd', 'a', 't', 'a', 0, 0, 0, 0, 0, 0, 0, 0}, wiretest.GuestIP, far)
	for _, c := range []struct {
		what string
		sent wiretest.Message
		want network.Event
	}{
		{"a neighbour's address", datagram(addrPort(netip.MustParseAddr("10.0.2.77"), 9), nil), network.Event{Protocol: "udp", Source: "10.0.2.77:9", Destination: "203.0.113.66:80", Rule: policy.RuleSpoofed}},
		{"the gateway's address", datagram(addrPort(wiretest.GatewayIP, 9), nil), network.Event{Protocol: "udp", Source: "10.0.2.2:9", Destination: "203.0.113.66:80", Rule: policy.RuleSpoofed}},
		{"another hardware address", datagram(guest, other), network.Event{Protocol: "udp", Source: other.String(), Destination: "203.0.113.66:80", Rule: policy.RuleSpoofed}},
		{"another hardware address of a ping", wiretest.Echo{From: wiretest.GuestIP, To: far, EtherFrom: other}, network.Event{Protocol: "icmp", Source: other.String(), Destination: "203.0.113.66", Rule: policy.RuleSpoofed}},
		{"another hardware address of ARP", wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP, EtherFrom: other}, network.Event{Protocol: "ether-0x0806", Source: other.String(), Destination: "ff:ff:ff:ff:ff:ff", Rule: policy.RuleSpoofed}},
		{"nonsense with another hardware address", wiretest.Raw(append(wiretest.Ether(other, wiretest.GatewayMAC, 0x0800), 0x45)), network.Event{Protocol: "ether-0x0800", Source: other.String(), Destination: wiretest.GatewayMAC.String(), Rule: policy.RuleSpoofed}},
		{"a VLAN", wiretest.Raw(append(wiretest.Ether(wiretest.GuestMAC, wiretest.GatewayMAC, 0x8100), 0, 1, 8, 0)), network.Event{Protocol: "ether-0x8100", Source: wiretest.GuestMAC.String(), Destination: wiretest.GatewayMAC.String(), Rule: policy.RuleProtocol}},
		{"GRE", wiretest.IP{From: wiretest.GuestIP, To: far, Proto: 47, Payload: make([]byte, 40)}, network.Event{Protocol: "ip-proto-47", Source: "10.0.2.15", Destination: "203.0.113.66", Rule: policy.RuleProtocol}},
		{"GRE behind options of IPv6", wiretest.IP{From: wiretest.GuestIP6, To: far6, Proto: 60, Payload: append([]byte{43, 0, 1, 4, 0, 0, 0, 0, 47, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 40)...)}, network.Event{Protocol: "ip-proto-47", Source: "fd00:2::15", Destination: far6.String(), Rule: policy.RuleProtocol}},
		{"an answer to no ping behind options of IPv6", wiretest.IP{From: wiretest.GuestIP6, To: far6, Proto: 60, Payload: append([]byte{58, 0, 1, 4, 0, 0, 0, 0, 129, 0}, make([]byte, 10)...)}, network.Event{Protocol: "icmp", Source: "fd00:2::15", Destination: far6.String(), Rule: policy.RuleProtocol}},
		{"broadcast", wiretest.UDP{From: guest, To: netip.MustParseAddrPort("255.255.255.255:137"), Payload: []byte("x")}, network.Event{Protocol: "udp", Source: "10.0.2.15:20000", Destination: "255.255.255.255:137", Rule: policy.RuleMartian}},
		{"loopback", wiretest.IP{From: wiretest.GuestIP, To: netip.MustParseAddr("127.0.0.1"), Proto: 1, Payload: make([]byte, 8)}, network.Event{Protocol: "icmp", Source: "10.0.2.15", Destination: "127.0.0.1", Rule: policy.RuleMartian}},
		{"ICMP that asks for the time", wiretest.IP{From: wiretest.GuestIP, To: far, Proto: 1, Payload: timestamp}, network.Event{Protocol: "icmp", Source: "10.0.2.15", Destination: "203.0.113.66", Rule: policy.RuleProtocol}},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t)
			next := w.denied()
			w.Send(c.sent)
			got := next()
			c.want.Kind, c.want.Time = network.Denied, got.Time
			if got != c.want {
				t.Errorf("told %+v; want %+v", got, c.want)
			}
		})
	}

	t.Run("what every kernel sends", func(t *testing.T) {
		w := newWorld(t)
		next := w.denied()
		unreachable := wiretest.ICMPChecksum(append([]byte{3, 3, 0, 0, 0, 0, 0, 0, 0x45}, make([]byte, 27)...), wiretest.GuestIP, far)
		w.Send(
			wiretest.IP{From: wiretest.GuestIP, To: netip.MustParseAddr("224.0.0.22"), Proto: 2, Payload: make([]byte, 16)}, // membership of groups
			wiretest.IP{From: wiretest.GuestIP, To: far, Proto: 1, Payload: unreachable},
			datagram(addrPort(wiretest.GatewayIP, 9), nil),
		)
		if got := next(); got.Rule != policy.RuleSpoofed {
			t.Errorf("told %+v", got)
		}
	})
}
