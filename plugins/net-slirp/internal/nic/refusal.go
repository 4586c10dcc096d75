package nic

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Reason says why the card refuses a frame, whatever a policy would say of it.
type Reason uint8

// Reasons.
const (
	Spoofed Reason = iota // it claims to be somebody else's
	Martian               // no host can have its destination
	Foreign               // it is of a protocol that nobody here speaks
)

// Refusal is a frame that the card refuses. What is malformed is not among them: it means nothing.
type Refusal struct {
	Reason    Reason
	From, To  MAC
	EtherType uint16
	// Of IP, where the addresses are valid; ports are 0 where there are none.
	Protocol            uint8
	Source, Destination netip.AddrPort
}

func refusal(why Reason, ether []byte, p *ipPacket) Refusal {
	return Refusal{
		Reason: why, From: MAC(ether[6:12]), To: MAC(ether[:6]), EtherType: binary.BigEndian.Uint16(ether[12:]), Protocol: p.protocol,
		Source: netip.AddrPortFrom(p.source, p.sourcePort), Destination: netip.AddrPortFrom(p.destination, p.destinationPort),
	}
}

// refuseFrame refuses a frame of which nothing but the Ethernet header was looked at.
func (e *Endpoint) refuseFrame(why Reason, ether [etherHeader]byte, shared []byte) {
	packet := append([]byte(nil), shared[etherHeader:]...)
	r := Refusal{Reason: why, From: MAC(ether[6:12]), To: MAC(ether[:6]), EtherType: binary.BigEndian.Uint16(ether[12:])}
	parse := parseIPv4
	switch r.EtherType {
	case uint16(header.IPv6ProtocolNumber):
		parse = parseIPv6
	case uint16(header.IPv4ProtocolNumber):
	default:
		e.refuse(r)
		return
	}
	if p, ok := parse(packet); ok {
		r = refusal(why, ether[:], &p)
	}
	e.refuse(r)
}

func (e *Endpoint) refuse(r Refusal) {
	if e.cfg.Refused != nil {
		e.cfg.Refused(r)
	}
}

// isForeign tells whether nobody here speaks the protocol in a packet.
func (p *ipPacket) isForeign() bool {
	protocol, message := p.upper()
	switch protocol {
	case uint8(header.TCPProtocolNumber), uint8(header.UDPProtocolNumber):
		return false
	case uint8(header.ICMPv4ProtocolNumber):
		return p.network != header.IPv4ProtocolNumber || !p.fragment && isForeignICMPv4(message)
	case uint8(header.ICMPv6ProtocolNumber):
		return p.network != header.IPv6ProtocolNumber || isForeignICMPv6(message)
	case uint8(header.IPv6HopByHopOptionsExtHdrIdentifier), uint8(header.IPv6RoutingExtHdrIdentifier),
		uint8(header.IPv6FragmentExtHdrIdentifier), uint8(header.IPv6DestinationOptionsExtHdrIdentifier):
		return p.network != header.IPv6ProtocolNumber // else a piece, or malformed: for the stack
	}
	return true
}

// upper returns the protocol in a packet and its message, which IPv6 has behind extension headers (RFC 8200, section 4). A header that
// cannot be passed is what it returns.
func (p *ipPacket) upper() (protocol uint8, message []byte) {
	protocol, message = p.protocol, p.payload
	for p.network == header.IPv6ProtocolNumber && len(message) >= 8 {
		switch protocol {
		case uint8(header.IPv6HopByHopOptionsExtHdrIdentifier), uint8(header.IPv6RoutingExtHdrIdentifier),
			uint8(header.IPv6DestinationOptionsExtHdrIdentifier):
		default:
			return protocol, message
		}
		length := 8 + 8*int(message[1])
		if length > len(message) {
			return protocol, nil
		}
		protocol, message = message[0], message[length:]
	}
	return protocol, message
}

// Of ICMP there are echo requests, and errors, with which every kernel answers what it does not want.

func isForeignICMPv4(message []byte) bool {
	if len(message) == 0 {
		return false
	}
	switch header.ICMPv4Type(message[0]) {
	case header.ICMPv4Echo, header.ICMPv4DstUnreachable, header.ICMPv4TimeExceeded, header.ICMPv4ParamProblem:
		return false
	}
	return true
}

func isForeignICMPv6(message []byte) bool {
	return len(message) > 0 && header.ICMPv6Type(message[0]) > header.ICMPv6EchoRequest // errors are below (RFC 4443, section 2.1)
}
