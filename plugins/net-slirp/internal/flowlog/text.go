package flowlog

import (
	"net/netip"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// text writes an address as its protocol has it: ICMP knows no ports.
func text(f policy.Flow, a netip.AddrPort) string {
	if f.Protocol == network.ICMP {
		return a.Addr().String()
	}
	return a.String()
}
