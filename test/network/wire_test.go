package network_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// wire sees each packet that leaves the machine, or goes from one of its own addresses to another. What must not leave is looked for
// where it would have to pass, and not where it might arrive.
type wire struct {
	fd   int
	open map[netip.AddrPort]bool // ends that packets may have
}

// tap begins to look. The kernel notes a packet for us as it sends it, so that whoever looks later has missed nothing.
func tap(t *testing.T) *wire {
	t.Helper()
	everything := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(everything))
	if err != nil {
		t.Fatalf("see the machine's packets: %v", err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	const room = 32 << 20
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) != nil { // which only root of the whole machine may
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room)
	}
	return &wire{fd: fd, open: map[netip.AddrPort]bool{}}
}

func (w *wire) allow(ends ...string) {
	for _, end := range ends {
		w.open[netip.MustParseAddrPort(end)] = true
	}
}

// strays are the packets since the last call that have no end that was allowed.
func (w *wire) strays(t *testing.T) []string {
	t.Helper()
	var strays []string
	head := make([]byte, 256)
	for {
		n, from, err := unix.Recvfrom(w.fd, head, 0)
		if err != nil {
			break
		}
		at, ok := from.(*unix.SockaddrLinklayer)
		if !ok || at.Pkttype != unix.PACKET_OUTGOING {
			continue // it came, or was seen as it went
		}
		p := parsePacket(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, at.Protocol)), head[:n])
		if p.housekeeping() || w.open[p.from] || w.open[p.to] {
			continue
		}
		if text := p.String(); !slices.Contains(strays, text) {
			strays = append(strays, text)
		}
	}
	if s, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err != nil || s.Drops > 0 {
		t.Errorf("packets went unseen: %+v, %v", s, err)
	}
	return strays
}

// packet is what there is to know of one.
type packet struct {
	kind     uint16 // EtherType
	protocol byte
	message  byte // type of an ICMP message
	from, to netip.AddrPort
}

func parsePacket(kind uint16, b []byte) packet {
	p := packet{kind: kind}
	var from, to netip.Addr
	switch {
	case kind == unix.ETH_P_IP && len(b) >= 20:
		from, to, p.protocol = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[9]
		b = b[min(int(b[0]&15)*4, len(b)):]
	case kind == unix.ETH_P_IPV6 && len(b) >= 40:
		from, to, p.protocol = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[6]
		b = b[40:]
	default:
		return p
	}
	var ports [2]uint16
	if len(b) >= 4 && (p.protocol == unix.IPPROTO_TCP || p.protocol == unix.IPPROTO_UDP) {
		ports = [2]uint16{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])}
	} else if len(b) > 0 {
		p.message = b[0]
	}
	p.from, p.to = netip.AddrPortFrom(from, ports[0]), netip.AddrPortFrom(to, ports[1])
	return p
}

// housekeeping tells whether the machine's own kernel sends such packets, about its own cable: ARP, neighbour discovery, membership of
// groups.
func (p packet) housekeeping() bool {
	switch {
	case p.kind == unix.ETH_P_ARP:
		return true
	case p.kind == unix.ETH_P_IP:
		return p.protocol == unix.IPPROTO_IGMP
	case p.kind == unix.ETH_P_IPV6 && p.protocol == unix.IPPROTO_ICMPV6:
		return p.message >= 130 && p.message <= 137 || p.message == 143
	case p.kind == unix.ETH_P_IPV6:
		return p.protocol == unix.IPPROTO_HOPOPTS && p.to.Addr().IsMulticast()
	}
	return false
}

func (p packet) String() string {
	return fmt.Sprintf("EtherType %#04x protocol %d from %v to %v", p.kind, p.protocol, p.from, p.to)
}
