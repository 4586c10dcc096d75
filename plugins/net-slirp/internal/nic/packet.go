package nic

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/voidbox-run/voidbox/link"
)

// ipPacket is what the card needs to know of an IP packet.
type ipPacket struct {
	network             tcpip.NetworkProtocolNumber
	protocol            uint8
	source, destination netip.Addr
	headerLen           int
	fragment            bool // of several: what follows the header is a piece
	goodHeader          bool // its own checksum, which IPv6 has not

	payload                     []byte // behind the header, without padding
	hasPorts                    bool   // TCP or UDP, from its beginning
	sourcePort, destinationPort uint16
}

// parseIPv4 takes an IPv4 packet apart (RFC 791). False means that its lengths are wrong.
func parseIPv4(b []byte) (ipPacket, bool) {
	if len(b) < header.IPv4MinimumSize {
		return ipPacket{}, false
	}
	h := header.IPv4(b)
	headerLen, total := int(h.HeaderLength()), int(h.TotalLength())
	if b[0]>>4 != 4 || headerLen < header.IPv4MinimumSize || headerLen > total || total > len(b) {
		return ipPacket{}, false
	}
	p := ipPacket{
		network: header.IPv4ProtocolNumber, protocol: h.Protocol(), headerLen: headerLen,
		source: netip.AddrFrom4([4]byte(b[12:16])), destination: netip.AddrFrom4([4]byte(b[16:20])),
		fragment: h.More() || h.FragmentOffset() != 0, payload: b[headerLen:total],
		goodHeader: checksum.Checksum(b[:headerLen], 0) == 0xffff,
	}
	p.ports(h.FragmentOffset() == 0)
	return p, true
}

// parseIPv6 takes an IPv6 packet apart (RFC 8200). Packets with extension headers are left to the stack, which knows them.
func parseIPv6(b []byte) (ipPacket, bool) {
	if len(b) < header.IPv6MinimumSize {
		return ipPacket{}, false
	}
	h := header.IPv6(b)
	total := header.IPv6MinimumSize + int(h.PayloadLength())
	if b[0]>>4 != 6 || total > len(b) {
		return ipPacket{}, false
	}
	p := ipPacket{
		network: header.IPv6ProtocolNumber, protocol: h.NextHeader(), headerLen: header.IPv6MinimumSize,
		source: netip.AddrFrom16([16]byte(b[8:24])), destination: netip.AddrFrom16([16]byte(b[24:40])),
		payload: b[header.IPv6MinimumSize:total], goodHeader: true,
	}
	p.ports(true)
	return p, true
}

func (p *ipPacket) ports(first bool) {
	if !first || len(p.payload) < 8 || p.protocol != uint8(header.TCPProtocolNumber) && p.protocol != uint8(header.UDPProtocolNumber) {
		return
	}
	p.hasPorts = true
	p.sourcePort, p.destinationPort = binary.BigEndian.Uint16(p.payload), binary.BigEndian.Uint16(p.payload[2:])
}

const (
	dhcpServerPort    = 67
	udpChecksumOffset = 6 // RFC 768
)

// isDHCP tells whether the packet is for a DHCP server. It may come from a guest that has no address yet.
func (p *ipPacket) isDHCP() bool {
	return p.network == header.IPv4ProtocolNumber && p.protocol == uint8(header.UDPProtocolNumber) && p.hasPorts && !p.fragment &&
		p.destinationPort == dhcpServerPort
}

// isNeighbourDiscovery tells whether the packet is one of ICMPv6's for the link alone: router and neighbour discovery (RFC 4861),
// and multicast listener reports (RFC 2710, RFC 3810), which come from addresses of the link.
func (p *ipPacket) isNeighbourDiscovery() bool {
	if p.network != header.IPv6ProtocolNumber {
		return false
	}
	if p.protocol == uint8(header.IPv6HopByHopOptionsExtHdrIdentifier) {
		return p.destination.IsLinkLocalMulticast() // a listener report carries a router alert
	}
	if p.protocol != uint8(header.ICMPv6ProtocolNumber) || len(p.payload) == 0 {
		return false
	}
	switch header.ICMPv6Type(p.payload[0]) {
	case header.ICMPv6RouterSolicit, header.ICMPv6RouterAdvert, header.ICMPv6NeighborSolicit, header.ICMPv6NeighborAdvert,
		header.ICMPv6RedirectMsg, header.ICMPv6MulticastListenerReport, header.ICMPv6MulticastListenerDone, header.ICMPv6MulticastListenerV2Report:
		return true
	}
	return false
}

// opens tells whether the packet asks for a TCP connection.
func (p *ipPacket) opens() bool {
	return p.hasPorts && p.protocol == uint8(header.TCPProtocolNumber) && len(p.payload) >= header.TCPMinimumSize &&
		header.TCP(p.payload).Flags()&(header.TCPFlagSyn|header.TCPFlagAck|header.TCPFlagRst) == header.TCPFlagSyn
}

// isPlainDatagram tells whether the packet is a whole datagram of UDP, of which the stack has nothing to find out.
func (p *ipPacket) isPlainDatagram() bool {
	least := header.IPv4MinimumSize
	if p.network == header.IPv6ProtocolNumber {
		least = header.IPv6MinimumSize
	}
	return p.protocol == uint8(header.UDPProtocolNumber) && p.hasPorts && !p.fragment && p.headerLen == least
}

// checksumOffset returns where a transport header has its checksum.
func checksumOffset(protocol uint8) (int, bool) {
	switch protocol {
	case uint8(header.TCPProtocolNumber):
		return header.TCPChecksumOffset, true
	case uint8(header.UDPProtocolNumber):
		return udpChecksumOffset, true
	}
	return 0, false
}

// matches tells whether the offload header speaks of this packet. A segment has to be TCP of the version that it claims, and a
// partial checksum has to be that of the transport header.
func (p *ipPacket) matches(h link.NetHeader) bool {
	switch h.GSOType &^ link.NetGSOECN {
	case link.NetGSOTCPv4:
		if p.network != header.IPv4ProtocolNumber || p.protocol != uint8(header.TCPProtocolNumber) || p.fragment {
			return false
		}
	case link.NetGSOTCPv6:
		if p.network != header.IPv6ProtocolNumber || p.protocol != uint8(header.TCPProtocolNumber) {
			return false
		}
	}
	if h.Flags&link.NetNeedsChecksum == 0 {
		return true
	}
	offset, ok := checksumOffset(p.protocol)
	return ok && !p.fragment && int(h.ChecksumStart) == etherHeader+p.headerLen && int(h.ChecksumOffset) == offset &&
		len(p.payload) >= offset+2
}

// verify checks the checksums of the packet, unless the guest has left the transport's to us. What is in pieces is verified where
// it has been put together.
func (p *ipPacket) verify(h link.NetHeader) bool {
	if !p.goodHeader {
		return false
	}
	if h.Flags&link.NetNeedsChecksum != 0 || p.fragment {
		return true
	}
	switch {
	case p.protocol == uint8(header.UDPProtocolNumber):
		if len(p.payload) < header.UDPMinimumSize {
			return false
		}
		if p.network == header.IPv4ProtocolNumber && binary.BigEndian.Uint16(p.payload[udpChecksumOffset:]) == 0 {
			return true // sent without one (RFC 768)
		}
	case p.protocol == uint8(header.ICMPv4ProtocolNumber) && p.network == header.IPv4ProtocolNumber:
		return checksum.Checksum(p.payload, 0) == 0xffff
	case p.protocol != uint8(header.TCPProtocolNumber) && p.protocol != uint8(header.ICMPv6ProtocolNumber):
		return true
	}
	return checksum.Checksum(p.payload, pseudoHeader(p)) == 0xffff
}

// pseudoHeader sums what the transport checksum covers beside the packet itself (RFC 9293 section 3.1, RFC 8200 section 8.1).
func pseudoHeader(p *ipPacket) uint16 {
	return header.PseudoHeaderChecksum(tcpip.TransportProtocolNumber(p.protocol),
		tcpip.AddrFromSlice(p.source.AsSlice()), tcpip.AddrFromSlice(p.destination.AsSlice()), uint16(len(p.payload)))
}
