package ndp

import (
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/nic"
)

// message is a frame of the guest's with an ICMPv6 message, whose checksum is right.
func message(from, to netip.Addr, body []byte) []byte {
	return wiretest.Bytes(wiretest.IP{From: from, To: to, Proto: 58, Payload: wiretest.ICMPChecksum(append([]byte(nil), body...), from, to)})
}

func solicitation(kind byte, target netip.Addr, options ...byte) []byte {
	body := []byte{kind, 0, 0, 0, 0, 0, 0, 0}
	if target.IsValid() {
		body = append(body, target.AsSlice()...)
	}
	return append(body, options...)
}

// FuzzRespond asks with arbitrary ICMPv6 messages from arbitrary addresses: whatever is answered is a whole message with a right
// checksum, to the guest's card, and claims no address of the guest's.
func FuzzRespond(f *testing.F) {
	guest := netip.PrefixFrom(wiretest.GuestIP6, 64)
	r := &Responder{
		Guest: nic.MAC(wiretest.GuestMAC), Gateway: nic.MAC(wiretest.GatewayMAC), Networks: []netip.Prefix{guest},
		DNS: []netip.Addr{netip.MustParseAddr("fd00:2::3")}, MTU: 1500,
	}
	local := linkLocal(r.Guest)
	for _, seed := range []struct {
		from netip.Addr
		body []byte
	}{
		{guest.Addr(), solicitation(135, wiretest.GatewayIP6)}, {guest.Addr(), solicitation(135, guest.Addr())}, {local, solicitation(135, linkLocal(r.Gateway))},
		{netip.IPv6Unspecified(), solicitation(135, local)}, {netip.IPv6Unspecified(), solicitation(135, linkLocal(r.Gateway))},
		{local, solicitation(133, netip.Addr{})}, {netip.IPv6Unspecified(), solicitation(133, netip.Addr{}, 1, 0)}, {local, solicitation(136, guest.Addr(), 2, 1, 1, 2, 3, 4, 5, 6)},
		{local, solicitation(135, netip.Addr{}, 1, 2, 3)},
	} {
		f.Add(seed.from.AsSlice(), seed.body)
	}
	f.Fuzz(func(t *testing.T, source, body []byte) {
		from, ok := netip.AddrFromSlice(source)
		if !ok || !from.Is6() || len(body) > 1400 {
			return
		}
		if len(body) < 4 {
			r.Respond(body) // too short for a packet
			return
		}
		reply := r.Respond(message(from, netip.MustParseAddr("ff02::2"), body))
		if reply == nil {
			return
		}
		e, h := header.Ethernet(reply), header.IPv6(reply[ethernet:])
		to, answered := netip.AddrFrom16(h.DestinationAddress().As16()), netip.AddrFrom16(h.SourceAddress().As16())
		if nic.MAC([]byte(e.DestinationAddress())) != r.Guest || h.HopLimit() != hopLimit || int(h.PayloadLength()) != len(reply)-icmp ||
			sum(reply[icmp:], answered, to) != 0xffff {
			t.Fatalf("% x", reply)
		}
		if to != from && !(from.IsUnspecified() && to == netip.IPv6LinkLocalAllNodes()) {
			t.Fatalf("an answer for %v goes to %v", from, to)
		}
		if reply[icmp] == byte(header.ICMPv6NeighborAdvert) {
			if claimed := netip.AddrFrom16([16]byte(reply[icmp+8:])); claimed == guest.Addr() || claimed == local {
				t.Fatalf("the gateway claims %v", claimed)
			}
		}
	})
}
