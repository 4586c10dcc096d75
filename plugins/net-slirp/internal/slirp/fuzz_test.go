package slirp

import (
	"encoding/binary"
	"testing"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/link"
)

// FuzzFrames puts arbitrary frames with arbitrary offload headers on the wire: afterwards the network still answers. The input is a
// series of frames: two bytes of length, twelve of header, and the bytes; the hardware addresses are the right ones, so that more
// than the first check is reached, unless the length is odd.
func FuzzFrames(f *testing.F) {
	for _, m := range []wiretest.Message{
		syn(), martian("127.0.0.1"), askDHCP(1), askDHCP(3, 50, 4, 10, 0, 2, 15),
		solicit(wiretest.GuestIP6, wiretest.GatewayIP6), wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP},
		wiretest.Echo{From: wiretest.GuestIP, To: wiretest.GatewayIP, Payload: []byte("x")},
		wiretest.Echo{From: wiretest.GuestIP6, To: wiretest.GatewayIP6, Payload: []byte("x")},
		wiretest.UDP{From: addrPort(wiretest.GuestIP, 1), To: addrPort(wiretest.DNSIP, 53), Payload: []byte("not a question")},
		wiretest.IP{From: wiretest.GuestIP, To: testNet, Proto: 17, More: true, Offset: 800, Payload: make([]byte, 64)},
		wiretest.IP{From: wiretest.GuestIP, To: wiretest.GatewayIP, Proto: 6, Options: []byte{7, 7, 4, 0, 0, 0, 0, 0}, Payload: syn().Segment()},
		wiretest.IP{From: wiretest.GuestIP6, To: wiretest.GatewayIP6, Proto: 44, Payload: append([]byte{17, 0, 0, 1, 0, 0, 0, 9}, make([]byte, 32)...)},
	} {
		frame := wiretest.Bytes(m)
		b := binary.LittleEndian.AppendUint16(nil, uint16(len(frame)&^1))
		f.Add(append(append(b, make([]byte, link.NetHeaderSize)...), frame...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(t)
		for len(data) >= 2+link.NetHeaderSize {
			n := int(binary.LittleEndian.Uint16(data))
			h := link.ParseNetHeader([link.NetHeaderSize]byte(data[2:]))
			data = data[2+link.NetHeaderSize:]
			frame := append([]byte(nil), data[:min(n, len(data))]...)
			data = data[len(frame):]
			if n%2 == 0 && len(frame) >= 12 {
				copy(frame, wiretest.GatewayMAC)
				copy(frame[6:], wiretest.GuestMAC)
			}
			if len(frame) > 0 {
				w.SendFrame(0, h, frame)
			}
		}
		w.Settled()
		w.Send(wiretest.Echo{From: wiretest.GuestIP, To: wiretest.GatewayIP, ID: 0xfade, Seq: 0xcafe})
		w.Expect("an echo reply", wiretest.IsICMP(0, 0), func(p *wiretest.Packet) bool { return p.Rest == [4]byte{0xfa, 0xde, 0xca, 0xfe} })
	})
}
