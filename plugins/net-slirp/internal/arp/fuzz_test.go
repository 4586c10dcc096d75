package arp

import (
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/nic"
)

// FuzzRespond asks with arbitrary frames: whatever is answered is a whole reply, from the gateway to the guest, for an address of the
// network that is not the guest's.
func FuzzRespond(f *testing.F) {
	guest := netip.PrefixFrom(wiretest.GuestIP, 24)
	for _, target := range []netip.Addr{wiretest.GatewayIP, wiretest.GuestIP, netip.MustParseAddr("192.0.2.1")} {
		f.Add(wiretest.Bytes(wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: target}))
		f.Add(wiretest.Bytes(wiretest.ARP{SenderIP: netip.IPv4Unspecified(), TargetIP: target}))
	}
	f.Add(wiretest.Bytes(wiretest.ARP{Op: 2, SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP})[:30])
	r := &Responder{Guest: nic.MAC(wiretest.GuestMAC), Gateway: nic.MAC(wiretest.GatewayMAC), Networks: []netip.Prefix{guest}}
	f.Fuzz(func(t *testing.T, frame []byte) {
		reply := r.Respond(frame)
		if reply == nil {
			return
		}
		if len(reply) != frameSize {
			t.Fatalf("a reply of %d bytes", len(reply))
		}
		e, a := header.Ethernet(reply), header.ARP(reply[header.EthernetMinimumSize:])
		claimed := netip.AddrFrom4([4]byte(a.ProtocolAddressSender()))
		if !a.IsValid() || a.Op() != header.ARPReply || nic.MAC([]byte(e.DestinationAddress())) != r.Guest || nic.MAC([]byte(e.SourceAddress())) != r.Gateway {
			t.Fatalf("% x", reply)
		}
		if claimed == guest.Addr() || !guest.Contains(claimed) || nic.MAC(a.HardwareAddressSender()) != r.Gateway {
			t.Fatalf("the gateway claims %v", claimed)
		}
	})
}
