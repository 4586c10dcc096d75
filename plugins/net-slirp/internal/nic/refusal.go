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

// isForeign tells whether nobody here speaks the protocol in a packet. Extension headers of IPv6 are left to the stack.
func (p *ipPacket) isForeign() bool {
	switch p.protocol {
	case uint8(header.TCPProtocolNumber), uint8(header.UDPProtocolNumber):
		return false
	case uint8(header.ICMPv4ProtocolNumber):
		return p.network != header.IPv4ProtocolNumber || p.isForeignICMP()
	case uint8(header.ICMPv6ProtocolNumber):
		return p.network != header.IPv6ProtocolNumber || p.isForeignICMP()
	case uint8(header.IPv6HopByHopOptionsExtHdrIdentifier), uint8(header.IPv6RoutingExtHdrIdentifier),
		uint8(header.IPv6FragmentExtHdrIdentifier), uint8(header.IPv6DestinationOptionsExtHdrIdentifier):
		return p.network != header.IPv6ProtocolNumber
	}
	return true
}

// isForeignICMP tells whether a message is neither an echo request nor an error, with which every kernel answers what it does not want.
func (p *ipPacket) isForeignICMP() bool {
	if p.fragment || len(p.payload) == 0 {
		return false
	}
	if p.network == header.IPv6ProtocolNumber {
		kind := header.ICMPv6Type(p.payload[0])
		return kind > header.ICMPv6EchoRequest // errors are below (RFC 4443, section 2.1)
	}
	switch header.ICMPv4Type(p.payload[0]) {
	case header.ICMPv4Echo, header.ICMPv4DstUnreachable, header.ICMPv4TimeExceeded, header.ICMPv4ParamProblem:
		return false
	}
	return true
}
