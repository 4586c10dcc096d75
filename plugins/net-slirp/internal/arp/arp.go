// Package arp answers the guest's ARP requests (RFC 826): for every address of its network but its own. Netstack would claim that one
// too, since it stands in for every destination, and a guest that probes its address before use (RFC 5227) would find it taken.
package arp

import (
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/nic"
)

const frameSize = header.EthernetMinimumSize + header.ARPSize

// Responder answers requests.
type Responder struct {
	Guest, Gateway nic.MAC
	// Networks are the guest's addresses, each with the prefix of its network.
	Networks []netip.Prefix
}

// Respond implements nic.Responder.
func (r *Responder) Respond(frame []byte) []byte {
	if len(frame) < frameSize {
		return nil
	}
	asked := header.ARP(frame[header.EthernetMinimumSize:frameSize])
	if !asked.IsValid() || asked.Op() != header.ARPRequest || nic.MAC(asked.HardwareAddressSender()) != r.Guest {
		return nil
	}
	sender, target := netip.AddrFrom4([4]byte(asked.ProtocolAddressSender())), netip.AddrFrom4([4]byte(asked.ProtocolAddressTarget()))
	if !sender.IsUnspecified() && !r.isGuest(sender) || r.isGuest(target) || !r.onLink(target) {
		return nil
	}
	return r.reply(asked)
}

func (r *Responder) isGuest(a netip.Addr) bool {
	return slices.ContainsFunc(r.Networks, func(p netip.Prefix) bool { return p.Addr() == a })
}

func (r *Responder) onLink(a netip.Addr) bool {
	return slices.ContainsFunc(r.Networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (r *Responder) reply(asked header.ARP) []byte {
	frame := make([]byte, frameSize)
	header.Ethernet(frame).Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(r.Gateway[:]), DstAddr: tcpip.LinkAddress(r.Guest[:]), Type: header.ARPProtocolNumber,
	})
	answer := header.ARP(frame[header.EthernetMinimumSize:])
	answer.SetIPv4OverEthernet()
	answer.SetOp(header.ARPReply)
	copy(answer.HardwareAddressSender(), r.Gateway[:])
	copy(answer.ProtocolAddressSender(), asked.ProtocolAddressTarget())
	copy(answer.HardwareAddressTarget(), r.Guest[:])
	copy(answer.ProtocolAddressTarget(), asked.ProtocolAddressSender())
	return frame
}
