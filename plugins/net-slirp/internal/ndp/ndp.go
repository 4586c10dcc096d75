// Package ndp plays the router of the guest's IPv6 network (RFC 4861): it answers neighbour solicitations for every address but the
// guest's own, and router solicitations with an advertisement, from which a guest without static addresses configures itself
// (RFC 4862). Netstack would answer for the guest's addresses too, and the guest's duplicate address detection would find them
// taken.
package ndp

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/nic"
)

// Responder answers solicitations.
type Responder struct {
	Guest, Gateway nic.MAC
	// Networks are the guest's addresses, each with the prefix of its network.
	Networks []netip.Prefix
	// DNS are the resolver's addresses, of which the IPv6 ones are advertised (RFC 8106).
	DNS []netip.Addr
	MTU int
}

const (
	ethernet = header.EthernetMinimumSize
	ip       = header.IPv6MinimumSize
	icmp     = ethernet + ip
	hopLimit = 255 // proves that a message was not forwarded (RFC 4861 section 6.1)

	solicitSize   = 8 + 16 // a neighbour solicitation or advertisement without options
	advertSize    = 16     // a router advertisement without options
	linkOption    = 8
	sourceOption  = 1
	targetOption  = 2
	prefixOption  = 3
	mtuOption     = 5
	rdnssOption   = 25
	prefixFlags   = 0x80 | 0x40 // on link, for autoconfiguration
	lifetime      = 1800        // of the router, in seconds
	forever       = 0xffffffff
	neighborFlags = 0x80 | 0x40 | 0x20 // router, solicited, override
)

// Respond implements nic.Responder.
func (r *Responder) Respond(frame []byte) []byte {
	if len(frame) < icmp+8 {
		return nil
	}
	h := header.IPv6(frame[ethernet:])
	message := frame[icmp:]
	if n := int(h.PayloadLength()); n <= len(message) {
		message = message[:n]
	}
	from, to := netip.AddrFrom16([16]byte(frame[ethernet+8:])), netip.AddrFrom16([16]byte(frame[ethernet+24:]))
	if len(message) < 8 || h.NextHeader() != uint8(header.ICMPv6ProtocolNumber) || h.HopLimit() != hopLimit || message[1] != 0 || sum(message, from, to) != 0xffff || !r.mayAsk(from) {
		return nil
	}
	switch header.ICMPv6Type(message[0]) {
	case header.ICMPv6NeighborSolicit:
		return r.neighbor(message, from)
	case header.ICMPv6RouterSolicit:
		return r.router(from)
	}
	return nil
}

// mayAsk tells whether an address is the guest's: one that it was given, one of the link that it gave itself, or none yet. It also
// gives itself one of the networks' (RFC 4862), which it may ask about but not use.
func (r *Responder) mayAsk(a netip.Addr) bool {
	return a.IsUnspecified() || a.IsLinkLocalUnicast() || r.onLink(a)
}

func (r *Responder) onLink(a netip.Addr) bool {
	return slices.ContainsFunc(r.Networks, func(p netip.Prefix) bool { return p.Addr().Is6() && p.Contains(a) })
}

func (r *Responder) isGuest(a netip.Addr) bool {
	return slices.ContainsFunc(r.Networks, func(p netip.Prefix) bool { return p.Addr() == a })
}

// linkLocal is the gateway's address on the link, made of its hardware address (RFC 4291, appendix A).
func linkLocal(m nic.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}

// neighbor answers whose hardware address is asked for: the gateway's. Duplicate address detection, which asks from no address, is
// answered for the gateway's own addresses only.
func (r *Responder) neighbor(message []byte, from netip.Addr) []byte {
	if len(message) < solicitSize {
		return nil
	}
	target := netip.AddrFrom16([16]byte(message[8:]))
	own := target == linkLocal(r.Gateway)
	switch {
	case target.IsMulticast() || target == linkLocal(r.Guest) || r.isGuest(target):
		return nil
	case from.IsUnspecified() && !own:
		return nil
	case !own && !r.onLink(target):
		return nil
	}
	to := from
	flags := byte(neighborFlags)
	if from.IsUnspecified() {
		to, flags = netip.IPv6LinkLocalAllNodes(), neighborFlags&^0x40
	}
	answer := make([]byte, solicitSize+linkOption)
	answer[0], answer[4] = byte(header.ICMPv6NeighborAdvert), flags
	copy(answer[8:], target.AsSlice())
	answer[solicitSize], answer[solicitSize+1] = targetOption, 1
	copy(answer[solicitSize+2:], r.Gateway[:])
	return r.frame(answer, target, to)
}

// router advertises the gateway, the networks and the resolver.
func (r *Responder) router(from netip.Addr) []byte {
	answer := make([]byte, advertSize, 128)
	answer[0], answer[4] = byte(header.ICMPv6RouterAdvert), 64
	binary.BigEndian.PutUint16(answer[6:], lifetime)
	answer = append(append(answer, sourceOption, 1), r.Gateway[:]...)
	answer = binary.BigEndian.AppendUint32(append(answer, mtuOption, 1, 0, 0), uint32(r.MTU))
	networks := 0
	for _, p := range r.Networks {
		if !p.Addr().Is6() {
			continue
		}
		networks++
		answer = append(answer, prefixOption, 4, byte(p.Bits()), prefixFlags)
		answer = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(answer, forever), forever)
		answer = append(append(answer, 0, 0, 0, 0), p.Masked().Addr().AsSlice()...)
	}
	if networks == 0 {
		return nil // IPv6 is not to be had here
	}
	for _, a := range r.DNS {
		if a.Is6() {
			answer = binary.BigEndian.AppendUint32(append(answer, rdnssOption, 3, 0, 0), forever)
			answer = append(answer, a.AsSlice()...)
		}
	}
	to := from
	if from.IsUnspecified() {
		to = netip.IPv6LinkLocalAllNodes()
	}
	return r.frame(answer, linkLocal(r.Gateway), to)
}

// frame puts a message into a frame for the guest.
func (r *Responder) frame(message []byte, from, to netip.Addr) []byte {
	frame := make([]byte, icmp, icmp+len(message))
	header.Ethernet(frame).Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(r.Gateway[:]), DstAddr: tcpip.LinkAddress(r.Guest[:]), Type: header.IPv6ProtocolNumber,
	})
	header.IPv6(frame[ethernet:]).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(message)), TransportProtocol: header.ICMPv6ProtocolNumber, HopLimit: hopLimit,
		SrcAddr: tcpip.AddrFrom16(from.As16()), DstAddr: tcpip.AddrFrom16(to.As16()),
	})
	binary.BigEndian.PutUint16(message[2:], 0)
	binary.BigEndian.PutUint16(message[2:], ^sum(message, from, to))
	return append(frame, message...)
}

func sum(message []byte, from, to netip.Addr) uint16 {
	return checksum.Checksum(message, header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber,
		tcpip.AddrFrom16(from.As16()), tcpip.AddrFrom16(to.As16()), uint16(len(message))))
}
