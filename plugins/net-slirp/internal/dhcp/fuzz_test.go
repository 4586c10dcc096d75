package dhcp

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/nic"
)

// ask is a message of the guest's with the given options.
func ask(options ...byte) []byte {
	b := make([]byte, fixed)
	b[opField], b[typeField], b[lenField] = bootRequest, ethernet, 6
	binary.BigEndian.PutUint32(b[xidField:], 0xfeedbeef)
	copy(b[hardwareField:], wiretest.GuestMAC)
	binary.BigEndian.PutUint32(b[cookieField:], cookie)
	return append(b, options...)
}

// FuzzRespond sends arbitrary messages: whatever is answered is a whole packet with right checksums, to the guest's card, and gives out
// no address but the guest's.
func FuzzRespond(f *testing.F) {
	s := &Server{
		Guest: nic.MAC(wiretest.GuestMAC), Gateway: nic.MAC(wiretest.GatewayMAC), Address: netip.PrefixFrom(wiretest.GuestIP, 24),
		Router: wiretest.GatewayIP, DNS: []netip.Addr{wiretest.DNSIP}, MTU: 1500,
	}
	for _, options := range [][]byte{
		{optType, 1, discover, optEnd}, {optType, 1, request, optRequested, 4, 10, 0, 2, 15, optEnd}, {optType, 1, request, optRequested, 4, 10, 0, 2, 99},
		{optPad, optPad, optType, 1, inform}, {optType, 1, request, optServer, 4, 10, 0, 2, 2}, {optType, 2, 1, 1}, {12, 200, 'x'}, {optType},
		{optType, 1, 7, optEnd}, {optType, 1, request, optServer, 4, 9, 9, 9, 9, optEnd},
	} {
		f.Add(ask(options...))
	}
	f.Add(make([]byte, 10))
	f.Fuzz(func(t *testing.T, message []byte) {
		if len(message) > 1400 {
			return
		}
		frame := wiretest.Bytes(wiretest.UDP{
			From: netip.AddrPortFrom(netip.IPv4Unspecified(), 68), To: netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), 67), Payload: message,
		})
		s.Respond(frame[:len(frame)/2]) // cut anywhere it is no worse
		reply := s.Respond(frame)
		if reply == nil {
			return
		}
		packet := header.IPv4(reply[header.EthernetMinimumSize:])
		datagram := header.UDP(packet[header.IPv4MinimumSize:])
		sum := header.PseudoHeaderChecksum(header.UDPProtocolNumber, packet.SourceAddress(), packet.DestinationAddress(), uint16(len(datagram)))
		if nic.MAC([]byte(header.Ethernet(reply).DestinationAddress())) != s.Guest || !packet.IsValid(len(packet)) || packet.CalculateChecksum() != 0xffff ||
			int(datagram.Length()) != len(datagram) || checksum.Checksum(datagram, sum) != 0xffff {
			t.Fatalf("% x", reply)
		}
		b := datagram.Payload()
		given := netip.AddrFrom4([4]byte(b[yourField:]))
		if len(b) < minMessage || b[opField] != bootReply || !given.IsUnspecified() && given != s.Address.Addr() {
			t.Fatalf("gives out %v in % x", given, b)
		}
	})
}
