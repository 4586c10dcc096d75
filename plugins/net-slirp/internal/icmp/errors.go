package icmp

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/hostsock"
)

// Sender sends ICMP packets to the guest.
type Sender struct {
	Stack *stack.Stack
	NIC   tcpip.NICID
	// Gateway are the addresses that errors come from.
	Gateway []netip.Addr
}

// Quote is the beginning of a packet of the guest's, which an error is about. The kernel that receives an error looks at addresses and
// ports, or the identifier, and nothing else.
type Quote struct {
	Protocol            tcpip.TransportProtocolNumber
	Source, Destination netip.AddrPort
	Length              int // of the transport header and what follows
	// Echo says that the packet is an echo request, of which the source's port is the identifier.
	Echo     bool
	Sequence uint16
}

// Errors that have a meaning for whoever sends a datagram.
var (
	// Prohibited says that a policy forbids the flow (RFC 1812 section 5.2.7.1, RFC 4443 section 3.1).
	Prohibited = hostsock.ICMPError{Type: uint8(header.ICMPv4DstUnreachable), Code: uint8(header.ICMPv4AdminProhibited)}
	// NoPort says that nobody listens.
	NoPort = hostsock.ICMPError{Type: uint8(header.ICMPv4DstUnreachable), Code: uint8(header.ICMPv4PortUnreachable)}
	// NoHost says that there is no way to the destination.
	NoHost = hostsock.ICMPError{Type: uint8(header.ICMPv4DstUnreachable), Code: uint8(header.ICMPv4HostUnreachable)}
)

// TooLarge says that a packet must not be fragmented and is larger than mtu.
func TooLarge(mtu uint32) hostsock.ICMPError {
	return hostsock.ICMPError{Type: uint8(header.ICMPv4DstUnreachable), Code: uint8(header.ICMPv4FragmentationNeeded), Info: mtu}
}

// version6 says in ICMPv6 what e says in ICMPv4.
func version6(e hostsock.ICMPError) hostsock.ICMPError {
	if e.V6 {
		return e
	}
	out := hostsock.ICMPError{V6: true, Type: uint8(header.ICMPv6DstUnreachable), Code: uint8(header.ICMPv6AddressUnreachable), Info: e.Info}
	switch e.Code {
	case uint8(header.ICMPv4AdminProhibited):
		out.Code = uint8(header.ICMPv6Prohibited)
	case uint8(header.ICMPv4PortUnreachable):
		out.Code = uint8(header.ICMPv6PortUnreachable)
	case uint8(header.ICMPv4FragmentationNeeded):
		out.Type, out.Code = uint8(header.ICMPv6PacketTooBig), 0
	}
	return out
}

// Error tells the guest of an error about a packet of its own.
func (s *Sender) Error(e hostsock.ICMPError, about Quote) {
	if about.Source.Addr().Is6() {
		e = version6(e)
	} else if e.V6 {
		e = NoHost
	}
	var b []byte
	if about.Source.Addr().Is4() {
		b = make([]byte, header.ICMPv4MinimumSize, header.ICMPv4MinimumSize+header.IPv6MinimumSize+header.UDPMinimumSize)
		h := header.ICMPv4(b)
		h.SetType(header.ICMPv4Type(e.Type))
		h.SetCode(header.ICMPv4Code(e.Code))
		h.SetMTU(uint16(min(e.Info, 0xffff)))
	} else {
		b = make([]byte, header.ICMPv6MinimumSize, header.ICMPv6MinimumSize+header.IPv6MinimumSize+header.UDPMinimumSize)
		h := header.ICMPv6(b)
		h.SetType(header.ICMPv6Type(e.Type))
		h.SetCode(header.ICMPv6Code(e.Code))
		h.SetMTU(e.Info)
	}
	s.send(about.appendTo(b), s.from(about.Source.Addr()), about.Source.Addr())
}

// from returns the gateway's address of a family.
func (s *Sender) from(guest netip.Addr) netip.Addr {
	for _, a := range s.Gateway {
		if a.Is4() == guest.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// appendTo appends the quoted headers.
func (q Quote) appendTo(b []byte) []byte {
	ip := make([]byte, header.IPv6MinimumSize)
	if q.Source.Addr().Is4() {
		ip = ip[:header.IPv4MinimumSize]
		h := header.IPv4(ip)
		h.Encode(&header.IPv4Fields{
			TotalLength: uint16(len(ip) + q.Length), TTL: 64, Protocol: uint8(q.Protocol), SrcAddr: toStack(q.Source.Addr()), DstAddr: toStack(q.Destination.Addr()),
		})
		h.SetChecksum(^h.CalculateChecksum())
	} else {
		header.IPv6(ip).Encode(&header.IPv6Fields{
			PayloadLength: uint16(q.Length), HopLimit: 64, TransportProtocol: q.Protocol, SrcAddr: toStack(q.Source.Addr()), DstAddr: toStack(q.Destination.Addr()),
		})
	}
	transport := make([]byte, header.UDPMinimumSize)
	if q.Echo {
		h := header.ICMPv4(transport) // of the same shape in both versions
		h.SetType(header.ICMPv4Echo)
		if q.Source.Addr().Is6() {
			h.SetType(header.ICMPv4Type(header.ICMPv6EchoRequest))
		}
		h.SetIdent(q.Source.Port())
		h.SetSequence(q.Sequence)
	} else {
		header.UDP(transport).Encode(&header.UDPFields{SrcPort: q.Source.Port(), DstPort: q.Destination.Port(), Length: uint16(q.Length)})
	}
	return append(append(b, ip...), transport...)
}

// send sends an ICMP message, whose checksum it sets, to the guest.
func (s *Sender) send(message []byte, from, guest netip.Addr) {
	if !from.IsValid() {
		return
	}
	network, transport := header.IPv4ProtocolNumber, header.ICMPv4ProtocolNumber
	if guest.Is6() {
		network, transport = header.IPv6ProtocolNumber, header.ICMPv6ProtocolNumber
	}
	route, err := s.Stack.FindRoute(s.NIC, toStack(from), toStack(guest), network, false)
	if err != nil {
		return
	}
	defer route.Release()
	if guest.Is4() {
		h := header.ICMPv4(message)
		h.SetChecksum(0)
		h.SetChecksum(^checksum.Checksum(message, 0))
	} else {
		h := header.ICMPv6(message)
		h.SetChecksum(0)
		h.SetChecksum(^checksum.Checksum(message, header.PseudoHeaderChecksum(transport, toStack(from), toStack(guest), uint16(len(message)))))
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: int(route.MaxHeaderLength()), Payload: buffer.MakeWithData(message),
	})
	defer pkt.DecRef()
	pkt.TransportProtocolNumber = transport
	_ = route.WritePacket(stack.NetworkHeaderParams{Protocol: transport, TTL: 64}, pkt)
}

func fromStack(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return addr
}

func toStack(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }
