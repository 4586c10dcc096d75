package slirp

import (
	"fmt"
	"net"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/nic"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/sdk/network"
)

var refusals = map[nic.Reason]string{nic.Spoofed: policy.RuleSpoofed, nic.Martian: policy.RuleMartian, nic.Foreign: policy.RuleProtocol}

// refused tells of a frame that the card refuses. What is false about it comes first: whoever spoofs a hardware address is told by that.
func (a *attachment) refused(r nic.Refusal) {
	from, to := net.HardwareAddr(r.From[:]).String(), net.HardwareAddr(r.To[:]).String()
	if !r.Destination.IsValid() {
		a.log.Refused(network.Protocol(fmt.Sprintf("ether-0x%04x", r.EtherType)), from, to, refusals[r.Reason])
		return
	}
	proto, ports := protocol(r)
	to = r.Destination.Addr().String()
	if ports {
		to = r.Destination.String()
	}
	switch {
	case r.From != nic.MAC(a.spec.GuestMAC):
	case ports:
		from = r.Source.String()
	default:
		from = r.Source.Addr().String()
	}
	a.log.Refused(proto, from, to, refusals[r.Reason])
}

// protocol names the protocol of a packet, and tells whether it has ports.
func protocol(r nic.Refusal) (p network.Protocol, ports bool) {
	switch r.Protocol {
	case uint8(header.TCPProtocolNumber):
		return network.TCP, true
	case uint8(header.UDPProtocolNumber):
		return network.UDP, true
	case uint8(header.ICMPv4ProtocolNumber), uint8(header.ICMPv6ProtocolNumber):
		return network.ICMP, false
	}
	return network.Protocol(fmt.Sprintf("ip-proto-%d", r.Protocol)), false
}
