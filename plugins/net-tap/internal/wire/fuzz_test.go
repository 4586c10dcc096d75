//go:build linux

package wire

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/link"
)

// FuzzFrames puts any frames with any offload headers on the wire to the host's kernel: afterwards the wire still carries datagrams, and
// every frame is accounted for. The input is a series of frames: two bytes of length, twelve of header, and the bytes; the hardware
// addresses are the right ones, unless the length is odd.
func FuzzFrames(f *testing.F) {
	udp := wiretest.UDP{From: netip.AddrPortFrom(wiretest.GuestIP, 1), To: netip.AddrPortFrom(wiretest.GatewayIP, 9), Payload: make([]byte, 3000)}
	for _, s := range []struct {
		h link.NetHeader
		m wiretest.Message
	}{
		{link.NetHeader{}, wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP}},
		{link.NetHeader{}, udp},
		{link.NetHeader{Flags: link.NetNeedsChecksum, ChecksumStart: 34, ChecksumOffset: 6}, udp},
		{link.NetHeader{Flags: link.NetNeedsChecksum, ChecksumStart: 34, ChecksumOffset: 16, GSOType: link.NetGSOTCPv4, GSOSize: 500, HeaderLen: 54},
			wiretest.IP{From: wiretest.GuestIP, To: wiretest.GatewayIP, Proto: 6, Payload: append([]byte{0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10}, make([]byte, 3000)...)}},
		{link.NetHeader{Flags: link.NetNeedsChecksum, ChecksumStart: 54, ChecksumOffset: 16, GSOType: link.NetGSOTCPv6 | link.NetGSOECN, GSOSize: 1, HeaderLen: 74},
			wiretest.IP{From: wiretest.GuestIP6, To: wiretest.GatewayIP6, Proto: 6, Payload: append([]byte{0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10}, make([]byte, 300)...)}},
		{link.NetHeader{GSOType: link.NetGSOTCPv4, GSOSize: 1}, udp},
	} {
		frame := wiretest.Bytes(s.m)
		h := s.h.Bytes()
		f.Add(append(append(binary.LittleEndian.AppendUint16(nil, uint16(len(frame)&^1)), h[:]...), frame...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n := newNetwork(t, Options{})
		g := wiretest.Attach(t, n, wiretest.Layout())
		host, to := hostOf(t, n)
		sent := uint64(0)
		for len(data) >= 2+link.NetHeaderSize {
			size := int(binary.LittleEndian.Uint16(data))
			h := link.ParseNetHeader([link.NetHeaderSize]byte(data[2:]))
			data = data[2+link.NetHeaderSize:]
			frame := append([]byte(nil), data[:min(size, len(data))]...)
			data = data[len(frame):]
			if size%2 == 0 && len(frame) >= 12 {
				copy(frame, wiretest.GatewayMAC)
				copy(frame[6:], wiretest.GuestMAC)
			}
			if len(frame) > 0 {
				g.SendFrame(0, h, frame)
				sent++
			}
		}
		exchange(t, g, 0, host, to, 5000)
		if counted := stat(t, n, "nic.sent_frames"); counted != sent+1 {
			t.Errorf("%d frames were sent, and %d counted", sent+1, counted)
		}
	})
}
