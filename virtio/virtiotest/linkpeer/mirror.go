//go:build linux

package linkpeer

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/voidbox-run/voidbox/link"
)

// HostIP is the mirror's address.
var HostIP = [4]byte{10, 0, 2, 2}

// HostMAC is its Ethernet address.
var HostMAC = [6]byte{0x52, 0x54, 0, 0x12, 0x34, 0x01}

// Mirror is a network that sends everything back. The zero value is ready.
type Mirror struct {
	// Frames counts what was sent back, Segments those of it that left segmentation to be done, Partial those with a checksum to
	// be completed.
	Frames, Segments, Partial atomic.Uint64
}

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	protoTCP  = 6
	protoUDP  = 17

	etherSize = 14
	arpSize   = 28
	ipv4Size  = 20
)

// Serve answers on all lanes until the link goes down.
func (m *Mirror) Serve(l *link.Link) {
	serve(l, func(rec *link.Record, out *link.Writer) error {
		buf, err := reserve(out, link.KindFrame, len(rec.Payload))
		if err != nil {
			return err
		}
		copy(buf, rec.Payload)
		if !reflect(buf) {
			return nil // the reservation is not committed
		}
		m.Frames.Add(1)
		if rec.Net.GSOType != link.NetGSONone {
			m.Segments.Add(1)
		}
		if rec.Net.Flags&link.NetNeedsChecksum != 0 {
			m.Partial.Add(1)
		}
		out.CommitFrame(rec.Net, len(buf))
		return nil
	})
}

// reflect turns a frame into its answer, if there is one.
func reflect(f []byte) bool {
	if len(f) < etherSize {
		return false
	}
	copy(f[0:6], f[6:12])
	copy(f[6:12], HostMAC[:])
	packet := f[etherSize:]
	switch binary.BigEndian.Uint16(f[12:]) {
	case etherARP:
		return answerARP(packet)
	case etherIPv4:
		return reflectIPv4(packet)
	}
	return false
}

// answerARP turns a request for the mirror's address (RFC 826) into the reply.
func answerARP(p []byte) bool {
	const request, reply = 1, 2
	if len(p) < arpSize || binary.BigEndian.Uint16(p[6:]) != request || [4]byte(p[24:28]) != HostIP {
		return false
	}
	binary.BigEndian.PutUint16(p[6:], reply)
	copy(p[18:28], p[8:18])
	copy(p[8:14], HostMAC[:])
	copy(p[14:18], HostIP[:])
	return true
}

// reflectIPv4 exchanges addresses, and the ports where the packet has them.
func reflectIPv4(p []byte) bool {
	if len(p) < ipv4Size || [4]byte(p[16:20]) != HostIP {
		return false
	}
	exchange(p[12:16], p[16:20])
	header := int(p[0]&15) * 4
	later := binary.BigEndian.Uint16(p[6:])&0x1fff != 0 // a fragment that is not the first
	if proto := p[9]; proto != protoTCP && proto != protoUDP || later || len(p) < header+4 {
		return true
	}
	exchange(p[header:header+2], p[header+2:header+4])
	return true
}

func exchange(a, b []byte) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}
