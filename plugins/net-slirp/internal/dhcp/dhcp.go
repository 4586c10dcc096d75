// Package dhcp gives the guest its address by DHCP (RFC 2131), for guests that are not set up by the guest agent. There is one guest
// and one address, so the server remembers nothing: it offers the address to whoever asks from the guest's hardware address, confirms it,
// and refuses any other.
package dhcp

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/nic"
)

// Server answers requests.
type Server struct {
	Guest, Gateway nic.MAC
	Address        netip.Prefix // the guest's
	Router         netip.Addr
	DNS            []netip.Addr
	MTU            int
}

// Places in a message (RFC 2131 section 2), and what they hold.
const (
	opField, typeField, lenField             = 0, 1, 2
	xidField, flagsField                     = 4, 10
	clientField, yourField, nextField        = 12, 16, 20
	hardwareField, cookieField, fixed        = 28, 236, 240
	bootRequest, bootReply, ethernet         = 1, 2, 1
	cookie                            uint32 = 0x63825363
	broadcast                                = 0x8000
	minMessage                               = 300 // what relays and old clients expect (RFC 1542 section 2.1)
)

// Options (RFC 2132).
const (
	optPad, optMask, optRouter, optDNS, optMTU, optEnd              = 0, 1, 3, 6, 26, 255
	optRequested, optLease, optType, optServer, optRenew, optRebind = 50, 51, 53, 54, 58, 59
)

// Types of message.
const (
	discover = 1
	offer    = 2
	request  = 3
	ack      = 5
	nak      = 6
	inform   = 8
)

const lease = 24 * 60 * 60 // seconds

// Respond implements nic.Responder.
func (s *Server) Respond(frame []byte) []byte {
	m, ok := s.parse(frame)
	if !ok {
		return nil
	}
	switch m.kind {
	case discover:
		return s.reply(m, offer)
	case inform:
		return s.reply(m, ack)
	case request:
		return s.decide(m)
	}
	return nil // release and decline: there is nothing to forget
}

// message is what the server needs of a request.
type message struct {
	kind                      byte
	xid                       uint32
	flags                     uint16
	client, requested, server netip.Addr // the zero Addr where there is none
}

// parse takes a frame apart. The card has checked the lengths of the IP packet, and that it is UDP.
func (s *Server) parse(frame []byte) (m message, ok bool) {
	if len(frame) < header.EthernetMinimumSize+header.IPv4MinimumSize {
		return m, false
	}
	packet := header.IPv4(frame[header.EthernetMinimumSize:])
	skip := int(packet.HeaderLength()) + header.UDPMinimumSize
	if len(packet) < skip+fixed {
		return m, false
	}
	b := packet[skip:]
	if b[opField] != bootRequest || b[typeField] != ethernet || b[lenField] != 6 || nic.MAC(b[hardwareField:hardwareField+6]) != s.Guest ||
		binary.BigEndian.Uint32(b[cookieField:]) != cookie {
		return m, false
	}
	m.xid, m.flags = binary.BigEndian.Uint32(b[xidField:]), binary.BigEndian.Uint16(b[flagsField:])
	m.client = address(b[clientField : clientField+4])
	return m, m.options(b[fixed:]) && m.kind != 0
}

// options reads the options that matter.
func (m *message) options(b []byte) bool {
	for len(b) > 0 && b[0] != optEnd {
		if b[0] == optPad {
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return false
		}
		code, value := b[0], b[2:2+int(b[1])]
		b = b[2+int(b[1]):]
		switch {
		case code == optType && len(value) == 1:
			m.kind = value[0]
		case code == optRequested && len(value) == 4:
			m.requested = address(value)
		case code == optServer && len(value) == 4:
			m.server = address(value)
		}
	}
	return true
}

// address reads one, the zero Addr for 0.0.0.0.
func address(b []byte) netip.Addr {
	if a := netip.AddrFrom4([4]byte(b)); !a.IsUnspecified() {
		return a
	}
	return netip.Addr{}
}

// decide answers a request (RFC 2131 section 4.3.2): it is meant for another server, or asks for the guest's address, or for a wrong one.
func (s *Server) decide(m message) []byte {
	if m.server.IsValid() && m.server != s.Router {
		return nil
	}
	wanted := m.requested
	if !wanted.IsValid() {
		wanted = m.client
	}
	if wanted != s.Address.Addr() {
		return s.reply(m, nak)
	}
	return s.reply(m, ack)
}

func (s *Server) reply(m message, kind byte) []byte {
	b := make([]byte, fixed, minMessage)
	b[opField], b[typeField], b[lenField] = bootReply, ethernet, 6
	binary.BigEndian.PutUint32(b[xidField:], m.xid)
	binary.BigEndian.PutUint16(b[flagsField:], m.flags)
	if m.client.IsValid() && kind != nak {
		copy(b[clientField:], m.client.AsSlice())
	}
	copy(b[hardwareField:], s.Guest[:])
	binary.BigEndian.PutUint32(b[cookieField:], cookie)
	b = append(b, optType, 1, kind)
	b = append(append(b, optServer, 4), s.Router.AsSlice()...)
	if kind != nak {
		copy(b[nextField:], s.Router.AsSlice())
		b = s.settings(b)
	}
	if kind == offer || kind == ack && m.kind == request {
		copy(b[yourField:], s.Address.Addr().AsSlice())
		b = binary.BigEndian.AppendUint32(append(b, optLease, 4), lease)
		b = binary.BigEndian.AppendUint32(append(b, optRenew, 4), lease/2)
		b = binary.BigEndian.AppendUint32(append(b, optRebind, 4), lease/8*7)
	}
	b = append(b, optEnd)
	for len(b) < minMessage {
		b = append(b, optPad)
	}
	to := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	if m.client.IsValid() && m.client == s.Address.Addr() && kind != nak {
		to = m.client
	}
	return s.frame(b, to)
}

func (s *Server) settings(b []byte) []byte {
	mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-s.Address.Bits()))
	b = append(append(b, optMask, 4), mask...)
	b = append(append(b, optRouter, 4), s.Router.AsSlice()...)
	b = binary.BigEndian.AppendUint16(append(b, optMTU, 2), uint16(s.MTU))
	var servers []byte
	for _, a := range s.DNS {
		if a.Is4() {
			servers = append(servers, a.AsSlice()...)
		}
	}
	if len(servers) == 0 {
		return b
	}
	return append(append(b, optDNS, byte(len(servers))), servers...)
}

// frame puts a message into a frame for the guest, who may have no address yet.
func (s *Server) frame(message []byte, to netip.Addr) []byte {
	const headers = header.EthernetMinimumSize + header.IPv4MinimumSize + header.UDPMinimumSize
	frame := make([]byte, headers, headers+len(message))
	frame = append(frame, message...)
	header.Ethernet(frame).Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(s.Gateway[:]), DstAddr: tcpip.LinkAddress(s.Guest[:]), Type: header.IPv4ProtocolNumber,
	})
	from, dest := tcpip.AddrFrom4(s.Router.As4()), tcpip.AddrFrom4(to.As4())
	packet := header.IPv4(frame[header.EthernetMinimumSize:])
	packet.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(packet)), TTL: 64, Protocol: uint8(header.UDPProtocolNumber), SrcAddr: from, DstAddr: dest,
	})
	packet.SetChecksum(^packet.CalculateChecksum())
	datagram := header.UDP(packet[header.IPv4MinimumSize:])
	length := uint16(len(datagram))
	datagram.Encode(&header.UDPFields{SrcPort: 67, DstPort: 68, Length: length})
	datagram.SetChecksum(^checksum.Checksum(datagram, header.PseudoHeaderChecksum(header.UDPProtocolNumber, from, dest, length)))
	return frame
}
