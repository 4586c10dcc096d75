package wiretest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/voidbox-run/voidbox/link"
)

// Packet is a frame that came from the plugin. Fields of other protocols than its own are zero.
type Packet struct {
	Raw      []byte
	Net      link.NetHeader
	From, To net.HardwareAddr
	Kind     uint16 // EtherType

	ARPOp              uint16
	SenderMAC          net.HardwareAddr
	SenderIP, TargetIP netip.Addr
	Source, Dest       netip.AddrPort // of ICMP, the ports are 0
	Proto              byte
	ID                 uint16
	More               bool
	Offset             int
	Seq, AckSeq        uint32
	Flags              byte
	Window             uint16
	Options            []byte
	ICMPType, ICMPCode byte
	Rest               [4]byte // of an ICMP header
	Payload            []byte
}

func (p *Packet) String() string {
	switch {
	case p.Kind == typeARP:
		return fmt.Sprintf("ARP op %d: %v is at %v, for %v", p.ARPOp, p.SenderIP, p.SenderMAC, p.TargetIP)
	case p.Proto == protoTCP:
		return fmt.Sprintf("TCP %v > %v flags %s seq %d ack %d window %d, %d bytes", p.Source, p.Dest, flagNames(p.Flags), p.Seq, p.AckSeq, p.Window, len(p.Payload))
	case p.Proto == protoUDP:
		return fmt.Sprintf("UDP %v > %v, %d bytes", p.Source, p.Dest, len(p.Payload))
	case p.Proto == protoICMP || p.Proto == protoICMPv6:
		return fmt.Sprintf("ICMP %v > %v type %d code %d, %d bytes", p.Source, p.Dest, p.ICMPType, p.ICMPCode, len(p.Payload))
	}
	return fmt.Sprintf("frame of type %#x with %d bytes", p.Kind, len(p.Raw))
}

func flagNames(f byte) string {
	out := ""
	for i, name := range []string{"F", "S", "R", "P", "A", "U"} {
		if f&(1<<i) != 0 {
			out += name
		}
	}
	return out
}

var errShort = errors.New("too short")

// Decode takes a frame apart and verifies what can be.
func Decode(frame []byte, h link.NetHeader) (*Packet, error) {
	p := &Packet{Raw: frame, Net: h}
	if len(frame) < etherSize {
		return p, errShort
	}
	p.To, p.From, p.Kind = frame[:6], frame[6:12], binary.BigEndian.Uint16(frame[12:])
	b := frame[etherSize:]
	switch p.Kind {
	case typeARP:
		return p, p.arp(b)
	case typeIPv4:
		return p, p.v4(b)
	case typeIPv6:
		return p, p.v6(b)
	}
	return p, fmt.Errorf("EtherType %#x", p.Kind)
}

func (p *Packet) arp(b []byte) error {
	if len(b) < 28 {
		return errShort
	}
	p.ARPOp = binary.BigEndian.Uint16(b[6:])
	p.SenderMAC, p.SenderIP, p.TargetIP = b[8:14], netip.AddrFrom4([4]byte(b[14:])), netip.AddrFrom4([4]byte(b[24:]))
	return nil
}

func (p *Packet) v4(b []byte) error {
	if len(b) < ipv4Size {
		return errShort
	}
	n, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if n < ipv4Size || total < n || total != len(b) {
		return fmt.Errorf("IPv4 header of %d bytes, packet of %d in %d", n, total, len(b))
	}
	if sum(b[:n], 0) != 0xffff {
		return errors.New("checksum of the IPv4 header")
	}
	p.ID, p.Proto = binary.BigEndian.Uint16(b[4:]), b[9]
	flags := binary.BigEndian.Uint16(b[6:])
	p.More, p.Offset = flags&0x2000 != 0, int(flags&0x1fff)*8
	return p.transport(netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[n:])
}

func (p *Packet) v6(b []byte) error {
	if len(b) < ipv6Size {
		return errShort
	}
	if n := int(binary.BigEndian.Uint16(b[4:])); ipv6Size+n != len(b) {
		return fmt.Errorf("IPv6 packet of %d bytes in %d", ipv6Size+n, len(b))
	}
	p.Proto = b[6]
	rest := b[ipv6Size:]
	if p.Proto == protoHopByHop && len(rest) >= 8 && len(rest) >= 8+8*int(rest[1]) { // of a multicast listener's report (RFC 8200 section 4.3)
		p.Proto, rest = rest[0], rest[8+8*int(rest[1]):]
	}
	return p.transport(netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), rest)
}

func (p *Packet) transport(from, to netip.Addr, b []byte) error {
	p.Source, p.Dest = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0)
	if p.More || p.Offset > 0 {
		p.Payload = b
		return nil
	}
	return p.whole(from, to, b)
}

// whole decodes a transport message that is not in pieces.
func (p *Packet) whole(from, to netip.Addr, b []byte) error {
	least := map[byte]int{protoTCP: tcpSize, protoUDP: udpSize, protoICMP: 8, protoICMPv6: 8}[p.Proto]
	if least == 0 || len(b) < least {
		return fmt.Errorf("protocol %d with %d bytes", p.Proto, len(b))
	}
	if err := p.verify(from, to, b); err != nil {
		return err
	}
	switch p.Proto {
	case protoTCP:
		return p.tcp(from, to, b)
	case protoUDP:
		p.ports(from, to, b)
		if n := int(binary.BigEndian.Uint16(b[4:])); n != len(b) {
			return fmt.Errorf("UDP datagram of %d bytes in %d", n, len(b))
		}
		p.Payload = b[udpSize:]
	default:
		p.ICMPType, p.ICMPCode, p.Rest, p.Payload = b[0], b[1], [4]byte(b[4:]), b[8:]
	}
	return nil
}

func (p *Packet) ports(from, to netip.Addr, b []byte) {
	p.Source = netip.AddrPortFrom(from, binary.BigEndian.Uint16(b))
	p.Dest = netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:]))
}

func (p *Packet) tcp(from, to netip.Addr, b []byte) error {
	p.ports(from, to, b)
	n := int(b[12]>>4) * 4
	if n < tcpSize || n > len(b) {
		return fmt.Errorf("TCP header of %d bytes", n)
	}
	p.Seq, p.AckSeq = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	p.Flags, p.Window = b[13], binary.BigEndian.Uint16(b[14:])
	p.Options, p.Payload = b[tcpSize:n], b[n:]
	return nil
}

// verify checks the checksum, of which a partial one has to be that of the pseudo header.
func (p *Packet) verify(from, to netip.Addr, b []byte) error {
	initial := pseudo(from, to, p.Proto, len(b))
	if p.Proto == protoICMP {
		initial = 0
	}
	if p.Net.Flags&link.NetNeedsChecksum == 0 {
		if got := sum(b, initial); got != 0xffff {
			return fmt.Errorf("checksum of protocol %d is wrong by %#x", p.Proto, ^got)
		}
		return nil
	}
	at := int(p.Net.ChecksumStart) + int(p.Net.ChecksumOffset)
	if at+2 > len(p.Raw) || int(p.Net.ChecksumStart) != len(p.Raw)-len(b) {
		return fmt.Errorf("partial checksum at %d+%d", p.Net.ChecksumStart, p.Net.ChecksumOffset)
	}
	if got := binary.BigEndian.Uint16(p.Raw[at:]); got != initial {
		return fmt.Errorf("partial checksum %#x, and the pseudo header has %#x", got, initial)
	}
	return nil
}
