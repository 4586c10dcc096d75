package nic

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/voidbox-run/voidbox/link"
)

// maxHeaders is the longest IPv6 or IPv4 header with the longest TCP header.
const maxHeaders = header.IPv4MaximumHeaderSize + header.TCPHeaderMaximumSize

// putSegments writes a packet as segments of the size that the connection has agreed on, for a driver that takes no larger ones.
func (l *lane) putSegments(pkt *stack.PacketBuffer) error {
	var headers [maxHeaders]byte
	n := copyRange(headers[:min(pkt.HeaderSize(), maxHeaders)], pkt, 0)
	for size := pkt.Data().Size(); l.cut < size; {
		payload := min(int(pkt.GSOOptions.MSS), size-l.cut)
		frame, err := l.out.TryReserve(link.KindFrame, etherHeader+n+payload)
		if err != nil {
			return err
		}
		l.etherHeader(frame, pkt.NetworkProtocolNumber)
		copy(frame[etherHeader:], headers[:n])
		copyRange(frame[etherHeader+n:], pkt, n+l.cut)
		segment(frame[etherHeader:], &pkt.GSOOptions, l.cut, l.cut+payload == size)
		h := link.NetHeader{Flags: l.valid()}
		if h.Flags != 0 {
			h = link.NetHeader{
				Flags: link.NetNeedsChecksum, ChecksumStart: etherHeader + pkt.GSOOptions.L3HdrLen, ChecksumOffset: pkt.GSOOptions.CsumOffset,
			}
		} else {
			sumUp(frame, etherHeader+int(pkt.GSOOptions.L3HdrLen), int(pkt.GSOOptions.CsumOffset))
		}
		l.commit(h, frame)
		l.cut += payload
	}
	l.cut = 0
	return nil
}

// segment makes the headers of the large packet those of the piece that starts at offset of its payload, with a partial checksum.
func segment(packet []byte, gso *stack.GSO, offset int, last bool) {
	l3 := int(gso.L3HdrLen)
	before := uint16(0)
	after := uint16(len(packet) - l3)
	if gso.Type == stack.GSOTCPv4 {
		ip := header.IPv4(packet)
		before = ip.TotalLength() - uint16(l3)
		ip.SetTotalLength(uint16(len(packet)))
		if gso.MSS > 0 {
			ip.SetID(ip.ID() + uint16(offset/int(gso.MSS)))
		}
		ip.SetChecksum(0)
		ip.SetChecksum(^ip.CalculateChecksum())
	} else {
		ip := header.IPv6(packet)
		before = ip.PayloadLength()
		ip.SetPayloadLength(after)
	}
	tcp := header.TCP(packet[l3:])
	tcp.SetSequenceNumber(tcp.SequenceNumber() + uint32(offset))
	if !last {
		tcp.SetFlags(uint8(tcp.Flags() &^ (header.TCPFlagFin | header.TCPFlagPsh)))
	}
	// The partial checksum is the sum of the pseudo header, of which only the length is another (RFC 1624).
	tcp.SetChecksum(checksum.Combine(checksum.Combine(tcp.Checksum(), ^before), after))
}

// sumUp finishes a partial checksum.
func sumUp(frame []byte, start, offset int) {
	covered := frame[start:]
	binary.BigEndian.PutUint16(covered[offset:], ^checksum.Checksum(covered, 0))
}

// copyRange copies the packet from an offset on until dst is full, and returns how much it copied.
func copyRange(dst []byte, pkt *stack.PacketBuffer, offset int) int {
	views, skip := pkt.AsViewList()
	skip += offset
	copied := 0
	for v := views.Front(); v != nil && copied < len(dst); v = v.Next() {
		b := v.AsSlice()
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		copied += copy(dst[copied:], b[skip:])
		skip = 0
	}
	return copied
}
