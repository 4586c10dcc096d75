package wiretest

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// EtherTypes and protocols.
const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeIPv6 = 0x86dd

	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58

	protoHopByHop = 0 // options of IPv6, before the protocol
)

// Sizes of headers without options.
const (
	etherSize = 14
	ipv4Size  = 20
	ipv6Size  = 40
	tcpSize   = 20
	udpSize   = 8
)

// Message is something that can be put on the wire.
type Message interface {
	// frame returns the whole frame, from the guest to the gateway.
	frame() []byte
}

// Raw is a frame as it is.
type Raw []byte

func (r Raw) frame() []byte { return r }

// Mangled is a message that has been changed after its checksums were set.
type Mangled struct {
	Message Message
	Change  func(frame []byte) []byte
}

func (m Mangled) frame() []byte { return m.Change(m.Message.frame()) }

// ARP is a request or reply of the guest's.
type ARP struct {
	Op                   uint16 // 1 if 0
	SenderMAC            net.HardwareAddr
	SenderIP, TargetIP   netip.Addr
	EtherFrom, Broadcast net.HardwareAddr
}

func (a ARP) frame() []byte {
	if a.Op == 0 {
		a.Op = 1
	}
	if a.SenderMAC == nil {
		a.SenderMAC = GuestMAC
	}
	if a.EtherFrom == nil {
		a.EtherFrom = GuestMAC
	}
	b := Ether(a.EtherFrom, net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, typeARP)
	b = append(b, 0, 1, 8, 0, 6, 4)
	b = binary.BigEndian.AppendUint16(b, a.Op)
	b = append(append(b, a.SenderMAC...), a.SenderIP.AsSlice()...)
	b = append(b, make([]byte, 6)...)
	return append(b, a.TargetIP.AsSlice()...)
}

// Ether returns an Ethernet header.
func Ether(from, to net.HardwareAddr, kind uint16) []byte {
	b := append(append([]byte(nil), to...), from...)
	return binary.BigEndian.AppendUint16(b, kind)
}

// IP is a packet of the guest's.
type IP struct {
	From, To  netip.Addr
	Proto     byte
	ID        uint16
	More      bool // more fragments follow
	DontFrag  bool
	Offset    int    // of a fragment, in bytes
	Options   []byte // of IPv4, a multiple of 4 bytes
	Payload   []byte
	EtherFrom net.HardwareAddr
}

func (p IP) frame() []byte {
	from := p.EtherFrom
	if from == nil {
		from = GuestMAC
	}
	if p.From.Is4() {
		return append(Ether(from, GatewayMAC, typeIPv4), p.v4()...)
	}
	return append(Ether(from, GatewayMAC, typeIPv6), p.v6()...)
}

func (p IP) v4() []byte {
	n := ipv4Size + len(p.Options)
	b := make([]byte, n, n+len(p.Payload))
	b[0] = 4<<4 | byte(n/4)
	binary.BigEndian.PutUint16(b[2:], uint16(n+len(p.Payload)))
	binary.BigEndian.PutUint16(b[4:], p.ID)
	flags := uint16(p.Offset / 8)
	if p.More {
		flags |= 0x2000
	}
	if p.DontFrag {
		flags |= 0x4000
	}
	binary.BigEndian.PutUint16(b[6:], flags)
	b[8], b[9] = 64, p.Proto
	copy(b[12:], p.From.AsSlice())
	copy(b[16:], p.To.AsSlice())
	copy(b[ipv4Size:], p.Options)
	binary.BigEndian.PutUint16(b[10:], ^sum(b, 0))
	return append(b, p.Payload...)
}

func (p IP) v6() []byte {
	b := make([]byte, ipv6Size, ipv6Size+len(p.Payload))
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], uint16(len(p.Payload)))
	b[6], b[7] = p.Proto, 64
	if p.Proto == protoICMPv6 {
		b[7] = 255
	}
	copy(b[8:], p.From.AsSlice())
	copy(b[24:], p.To.AsSlice())
	return append(b, p.Payload...)
}

// Flags of a TCP segment.
const (
	Fin = 1 << iota
	Syn
	Rst
	Psh
	Ack
	Urg
)

// TCP is a segment of the guest's.
type TCP struct {
	From, To  netip.AddrPort
	Seq, Ack  uint32
	Flags     byte
	Window    uint16
	Options   []byte // a multiple of 4 bytes
	Payload   []byte
	EtherFrom net.HardwareAddr
}

func (t TCP) frame() []byte {
	return IP{From: t.From.Addr(), To: t.To.Addr(), Proto: protoTCP, Payload: t.Segment(), EtherFrom: t.EtherFrom}.frame()
}

// Segment returns the segment without IP.
func (t TCP) Segment() []byte {
	n := tcpSize + len(t.Options)
	b := make([]byte, n, n+len(t.Payload))
	binary.BigEndian.PutUint16(b, t.From.Port())
	binary.BigEndian.PutUint16(b[2:], t.To.Port())
	binary.BigEndian.PutUint32(b[4:], t.Seq)
	binary.BigEndian.PutUint32(b[8:], t.Ack)
	b[12], b[13] = byte(n/4)<<4, t.Flags
	binary.BigEndian.PutUint16(b[14:], t.Window)
	copy(b[tcpSize:], t.Options)
	b = append(b, t.Payload...)
	binary.BigEndian.PutUint16(b[16:], ^sum(b, pseudo(t.From.Addr(), t.To.Addr(), protoTCP, len(b))))
	return b
}

// UDP is a datagram of the guest's.
type UDP struct {
	From, To  netip.AddrPort
	Payload   []byte
	EtherFrom net.HardwareAddr
}

func (u UDP) frame() []byte {
	return IP{From: u.From.Addr(), To: u.To.Addr(), Proto: protoUDP, Payload: u.Datagram(), EtherFrom: u.EtherFrom}.frame()
}

// Datagram returns the datagram without IP.
func (u UDP) Datagram() []byte {
	b := make([]byte, udpSize, udpSize+len(u.Payload))
	binary.BigEndian.PutUint16(b, u.From.Port())
	binary.BigEndian.PutUint16(b[2:], u.To.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(udpSize+len(u.Payload)))
	b = append(b, u.Payload...)
	binary.BigEndian.PutUint16(b[6:], ^sum(b, pseudo(u.From.Addr(), u.To.Addr(), protoUDP, len(b))))
	return b
}

// Fragments cuts a packet into fragments of at most mtu bytes (IPv4).
func Fragments(p IP, mtu int) []Message {
	var out []Message
	room := (mtu - ipv4Size) &^ 7
	for rest, offset := p.Payload, 0; len(rest) > 0; {
		piece := p
		n := min(room, len(rest))
		piece.Payload, piece.Offset, piece.More = rest[:n], offset, n < len(rest)
		rest, offset = rest[n:], offset+n
		out = append(out, piece)
	}
	return out
}

// Echo is an echo request of the guest's.
type Echo struct {
	From, To  netip.Addr
	ID, Seq   uint16
	Payload   []byte
	EtherFrom net.HardwareAddr
}

func (e Echo) frame() []byte {
	kind, proto := byte(8), byte(protoICMP)
	if e.From.Is6() {
		kind, proto = 128, protoICMPv6
	}
	return IP{From: e.From, To: e.To, Proto: proto, Payload: e.message(kind), EtherFrom: e.EtherFrom}.frame()
}

func (e Echo) message(kind byte) []byte {
	b := make([]byte, 8, 8+len(e.Payload))
	b[0] = kind
	binary.BigEndian.PutUint16(b[4:], e.ID)
	binary.BigEndian.PutUint16(b[6:], e.Seq)
	b = append(b, e.Payload...)
	return ICMPChecksum(b, e.From, e.To)
}

// ICMPChecksum sets the checksum of an ICMP message between two addresses, and returns it.
func ICMPChecksum(message []byte, from, to netip.Addr) []byte {
	initial := uint16(0)
	if from.Is6() {
		initial = pseudo(from, to, protoICMPv6, len(message))
	}
	message[2], message[3] = 0, 0
	binary.BigEndian.PutUint16(message[2:], ^sum(message, initial))
	return message
}

// pseudo sums the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1).
func pseudo(from, to netip.Addr, proto byte, length int) uint16 {
	b := append(from.AsSlice(), to.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	return sum(append(b, 0, 0, 0, proto), 0)
}

// sum is the Internet checksum (RFC 1071), not complemented.
func sum(b []byte, initial uint16) uint16 {
	s := uint32(initial)
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
		s = s&0xffff + s>>16
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
		s = s&0xffff + s>>16
	}
	return uint16(s)
}

// Bytes returns the frame of a message.
func Bytes(m Message) []byte { return m.frame() }
