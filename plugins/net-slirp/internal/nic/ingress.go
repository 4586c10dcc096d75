package nic

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/voidbox-run/voidbox/link"
)

// deliver judges a frame and hands it on. It lies in shared memory, so each part is copied before it is looked at.
func (l *lane) deliver(h link.NetHeader, shared []byte) {
	e := l.e
	if len(shared) < etherHeader {
		e.count.malformed.Add(1)
		return
	}
	if h.Check(len(shared), l.features(), link.TowardsNetwork) != nil || h.GSOType == link.NetGSONone && len(shared) > etherHeader+e.cfg.MTU {
		e.count.badOffload.Add(1)
		return
	}
	var ether [etherHeader]byte
	copy(ether[:], shared)
	if !e.hardware(ether[:]) {
		e.count.badHardware.Add(1)
		e.refuseFrame(Spoofed, ether, shared)
		return
	}
	// IP packets go up without the Ethernet header: the greatest one just fits a pooled buffer.
	packet := buffer.NewViewSize(len(shared) - etherHeader)
	copy(packet.AsSlice(), shared[etherHeader:])
	if tap := e.tap.Load(); tap != nil {
		(*tap).Frame(append(ether[:], packet.AsSlice()...))
	}
	switch kind := binary.BigEndian.Uint16(ether[12:]); kind {
	case uint16(header.ARPProtocolNumber):
		l.respond(e.cfg.ARP, ether[:], packet)
	case uint16(header.IPv4ProtocolNumber):
		l.deliverIP(h, ether[:], packet, parseIPv4)
	case uint16(header.IPv6ProtocolNumber):
		l.deliverIP(h, ether[:], packet, parseIPv6)
	default:
		e.count.unknown.Add(1)
		e.refuse(Refusal{Reason: Foreign, From: MAC(ether[6:12]), To: MAC(ether[:6]), EtherType: kind})
		packet.Release()
	}
}

// hardware tells whether a frame's addresses are possible: from the guest, to the gateway or to a group.
func (e *Endpoint) hardware(ether []byte) bool {
	return MAC(ether[6:12]) == e.cfg.Guest && (MAC(ether[:6]) == e.cfg.Gateway || ether[0]&1 != 0)
}

// respond has r answer a frame.
func (l *lane) respond(r Responder, ether []byte, packet *buffer.View) {
	defer packet.Release()
	if r == nil {
		l.e.count.unknown.Add(1)
		return
	}
	frame := append(append(make([]byte, 0, etherHeader+packet.Size()), ether...), packet.AsSlice()...)
	if reply := r.Respond(frame); reply != nil {
		l.writeFrame(reply)
	}
}

// deliverIP hands an IP packet to whom it is for.
func (l *lane) deliverIP(h link.NetHeader, ether []byte, packet *buffer.View, parse func([]byte) (ipPacket, bool)) {
	e := l.e
	p, ok := parse(packet.AsSlice())
	if !ok {
		e.count.malformed.Add(1)
		packet.Release()
		return
	}
	switch {
	case p.isDHCP():
		l.respond(e.cfg.DHCP, ether, packet)
		return
	case p.isNeighbourDiscovery():
		l.respond(e.cfg.NDP, ether, packet)
		return
	}
	if !e.admit(h, ether, &p) {
		packet.Release()
		return
	}
	if p.opens() && e.cfg.SYN != nil {
		e.cfg.SYN(netip.AddrPortFrom(p.source, p.sourcePort), netip.AddrPortFrom(p.destination, p.destinationPort))
	}
	e.steer.learn(&p, l.index)
	if p.isPlainDatagram() && e.cfg.UDP != nil {
		e.cfg.UDP(netip.AddrPortFrom(p.source, p.sourcePort), netip.AddrPortFrom(p.destination, p.destinationPort), p.payload)
		packet.Release()
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(packet)})
	e.dispatcher.DeliverNetworkPacket(p.network, pkt)
	pkt.DecRef()
}

// admit judges an IP packet by its addresses and checksums, and counts it if it is refused.
func (e *Endpoint) admit(h link.NetHeader, ether []byte, p *ipPacket) bool {
	switch {
	case isMartian(p.destination) || e.addresses[p.destination]:
		e.count.martian.Add(1)
		if p.hasPorts || !p.destination.IsMulticast() { // group management is no attempt to go anywhere
			e.refuse(refusal(Martian, ether, p))
		}
	case !e.addresses[p.source]:
		e.count.badSource.Add(1)
		e.refuse(refusal(Spoofed, ether, p))
	case !p.matches(h):
		e.count.badOffload.Add(1)
	case !p.verify(h):
		e.count.badChecksum.Add(1)
	case p.isForeign():
		e.count.unknown.Add(1)
		r := refusal(Foreign, ether, p)
		r.Protocol, _ = p.upper()
		e.refuse(r)
		return true // for the stack to say that there is no such protocol here
	default:
		return true
	}
	return false
}

// isMartian tells whether no host can have an address.
func isMartian(a netip.Addr) bool {
	return a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.Is4In6() ||
		a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240) // "this network", class E and broadcast
}
