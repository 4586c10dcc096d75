package wiretest

import (
	"net"
	"net/netip"

	"github.com/voidbox-run/voidbox/sdk/network"
)

// Addresses of Layout.
var (
	GuestMAC   = net.HardwareAddr{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}
	GatewayMAC = net.HardwareAddr{0x52, 0x54, 0x00, 0x12, 0x34, 0x01}

	GuestIP   = netip.MustParseAddr("10.0.2.15")
	GatewayIP = netip.MustParseAddr("10.0.2.2")
	DNSIP     = netip.MustParseAddr("10.0.2.3")

	GuestIP6   = netip.MustParseAddr("fd00:2::15")
	GatewayIP6 = netip.MustParseAddr("fd00:2::2")
)

// Layout is the usual attachment, with everything allowed that may be.
func Layout() network.Attachment {
	return network.Attachment{
		GuestMAC: GuestMAC, GatewayMAC: GatewayMAC,
		Guest:   []netip.Prefix{netip.PrefixFrom(GuestIP, 24), netip.PrefixFrom(GuestIP6, 64)},
		Gateway: []netip.Prefix{netip.PrefixFrom(GatewayIP, 24), netip.PrefixFrom(GatewayIP6, 64)},
		DNS:     []netip.Addr{DNSIP},
		MTU:     1500,
		Policy:  network.Policy{Default: network.Allow},
	}
}
