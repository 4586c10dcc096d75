package icmp

import (
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/hostsock"
)

// FuzzError passes on what the host's network may say about a datagram, which anybody on the way can make up. The guest gets one packet
// from its gateway, of its own family, whole, and about the datagram that it sent.
func FuzzError(f *testing.F) {
	const nicID = 1
	card := channel.New(4, 1500, "")
	s := stack.New(stack.Options{NetworkProtocols: []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol}})
	if err := s.CreateNIC(nicID, card); err != nil {
		f.Fatal(err)
	}
	s.SetSpoofing(nicID, true)
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nicID}, {Destination: header.IPv6EmptySubnet, NIC: nicID}})
	gateway := [2]netip.Addr{netip.MustParseAddr("10.0.2.2"), netip.MustParseAddr("fd00::2")}
	guest := [2]netip.Addr{netip.MustParseAddr("10.0.2.15"), netip.MustParseAddr("fd00::15")}
	peer := [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	sender := Sender{Stack: s, NIC: nicID, Gateway: gateway[:]}

	f.Add(false, false, byte(3), byte(4), uint32(1400), uint16(100), uint16(53), uint16(1234), false, uint16(0))
	f.Add(false, true, byte(3), byte(3), uint32(0), uint16(1), uint16(7), uint16(8), false, uint16(0))
	f.Add(true, true, byte(2), byte(0), uint32(1280), uint16(100), uint16(53), uint16(65535), false, uint16(0))
	f.Add(true, false, byte(1), byte(4), ^uint32(0), uint16(0), uint16(0), uint16(9), true, uint16(7))
	f.Fuzz(func(t *testing.T, theirs6, ours6 bool, kind, code byte, info uint32, from, to, length uint16, echo bool, sequence uint16) {
		i, network := 0, header.IPv4ProtocolNumber
		if ours6 {
			i, network = 1, header.IPv6ProtocolNumber
		}
		about := Quote{
			Protocol: header.UDPProtocolNumber, Source: netip.AddrPortFrom(guest[i], from), Destination: netip.AddrPortFrom(peer[i], to),
			Length: int(length), Echo: echo, Sequence: sequence,
		}
		sender.Error(hostsock.ICMPError{V6: theirs6, Type: kind, Code: code, Info: info}, about)
		pkt := card.Read()
		if pkt == nil || card.NumQueued() != 0 {
			t.Fatal("the guest got no packet, or several")
		}
		defer pkt.DecRef()
		b := pkt.ToView().AsSlice()
		if pkt.NetworkProtocolNumber != network {
			t.Fatalf("a packet of protocol %#x", pkt.NetworkProtocolNumber)
		}
		src, dst, message := opened(t, b, ours6)
		if src != gateway[i] || dst != guest[i] {
			t.Errorf("from %v to %v", src, dst)
		}
		quoted := message[header.ICMPv4MinimumSize:]
		if src, dst, ports := addresses(quoted, ours6); src != guest[i] || dst != peer[i] || len(ports) != header.UDPMinimumSize {
			t.Errorf("about a packet from %v to %v, with %d bytes", src, dst, len(ports))
		} else if udp := header.UDP(ports); !echo && (udp.SourcePort() != from || udp.DestinationPort() != to) {
			t.Errorf("about ports %d and %d, not %d and %d", udp.SourcePort(), udp.DestinationPort(), from, to)
		}
	})
}

// opened checks the checksums of an ICMP packet.
func opened(t *testing.T, b []byte, v6 bool) (src, dst netip.Addr, message []byte) {
	t.Helper()
	src, dst, message = addresses(b, v6)
	initial := uint16(0)
	switch {
	case v6:
		initial = header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, toStack(src), toStack(dst), uint16(len(message)))
	case !header.IPv4(b).IsChecksumValid():
		t.Error("a wrong checksum of the IP header")
	}
	if checksum.Checksum(message, initial) != 0xffff {
		t.Error("a wrong checksum of the message")
	}
	return src, dst, message
}

func addresses(b []byte, v6 bool) (src, dst netip.Addr, payload []byte) {
	if v6 {
		h := header.IPv6(b)
		return fromStack(h.SourceAddress()), fromStack(h.DestinationAddress()), b[header.IPv6MinimumSize:]
	}
	h := header.IPv4(b)
	return fromStack(h.SourceAddress()), fromStack(h.DestinationAddress()), b[h.HeaderLength():]
}
