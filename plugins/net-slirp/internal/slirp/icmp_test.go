package slirp

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/taplink"
	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Behind a router of our own: a network that it cannot reach, and one by a narrow link.
var (
	routed   = netip.MustParseAddr("203.0.113.10") // the router
	lostNet  = netip.MustParsePrefix("198.51.100.0/24")
	narrow   = netip.MustParsePrefix("192.0.2.0/24")
	closedTo = netip.MustParseAddr("198.51.100.7")
	beyond   = netip.MustParseAddr("192.0.2.7")
)

const narrowMTU = 600

// router connects this namespace with one that routes.
func router(t *testing.T) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ipnet := func(p netip.Prefix) *net.IPNet {
		return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
	}
	up := func(h *netlink.Handle, name, addr string) int {
		t.Helper()
		dev, err := h.LinkByName(name)
		must(err)
		if addr != "" {
			must(h.AddrAdd(dev, &netlink.Addr{IPNet: ipnet(netip.MustParsePrefix(addr))}))
		}
		must(h.LinkSetUp(dev))
		return dev.Attrs().Index
	}
	must(os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0))
	home, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	must(err)
	defer home.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "near"
	must(home.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far"}))
	up(home, "lo", "")
	near := up(home, "near", "203.0.113.1/24")
	must(taplink.InNamespace("", func() error {
		ns, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		must(err)
		t.Cleanup(func() { ns.Close() }) // it lives until then
		peer, err := home.LinkByName("far")
		must(err)
		must(home.LinkSetNsFd(peer, int(ns.Fd())))
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		must(err)
		defer h.Close()
		up(h, "lo", "")
		up(h, "far", routed.String()+"/24")
		link := netlink.NewLinkAttrs()
		link.Name, link.MTU = "narrow", narrowMTU
		must(h.LinkAdd(&netlink.Veth{LinkAttrs: link, PeerName: "nowhere"}))
		up(h, "nowhere", "")
		up(h, "narrow", "192.0.2.1/24")
		must(h.RouteAdd(&netlink.Route{Dst: ipnet(lostNet), Type: unix.RTN_UNREACHABLE}))
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
	}))
	for _, p := range []netip.Prefix{lostNet, narrow} {
		must(home.RouteAdd(&netlink.Route{Dst: ipnet(p), Gw: routed.AsSlice(), LinkIndex: near}))
	}
}

// A guest's ping leaves the host, and what comes back reaches the guest: the answer, or what a router says.
func TestInsideICMP(t *testing.T) {
	if os.Getenv(innerTest) == "" {
		t.Skip("TestEgress runs this in namespaces")
	}
	router(t)
	spec := wiretest.Layout()
	spec.Policy = network.Policy{Rules: []network.Rule{{Origin: "test:1", Action: network.Allow, CIDR: netip.MustParsePrefix("0.0.0.0/0")}}}
	w := newWorldWith(t, spec)
	t.Run("a ping is answered", func(t *testing.T) {
		for seq := range uint16(3) {
			w.Send(wiretest.Echo{From: wiretest.GuestIP, To: routed, ID: 77, Seq: seq, Payload: []byte("are you there?")})
			p := w.Expect("an echo reply", wiretest.IsICMP(0, 0), wiretest.FromAddr(routed))
			if string(p.Payload) != "are you there?" || p.Rest != [4]byte{0, 77, 0, byte(seq)} {
				t.Errorf("%v with %q, identifier and sequence %v", p, p.Payload, p.Rest)
			}
		}
	})
	t.Run("a ping that a router cannot route", func(t *testing.T) {
		w.Send(wiretest.Echo{From: wiretest.GuestIP, To: closedTo, ID: 78, Seq: 1, Payload: []byte("?")})
		quotes(t, w.Expect("host unreachable", wiretest.IsICMP(3, 1)), closedTo)
	})
	t.Run("a datagram that a router cannot route", func(t *testing.T) {
		w.Send(wiretest.UDP{From: addrPort(wiretest.GuestIP, 5000), To: addrPort(closedTo, 7), Payload: []byte("?")})
		quotes(t, w.Expect("host unreachable", wiretest.IsICMP(3, 1)), closedTo)
	})
	t.Run("a datagram that does not fit", func(t *testing.T) {
		w.Send(wiretest.UDP{From: addrPort(wiretest.GuestIP, 5001), To: addrPort(beyond, 7), Payload: make([]byte, 1400)})
		p := w.Expect("fragmentation needed", wiretest.IsICMP(3, 4))
		quotes(t, p, beyond)
		if mtu := int(p.Rest[2])<<8 | int(p.Rest[3]); mtu != narrowMTU {
			t.Errorf("it names an MTU of %d", mtu)
		}
	})
}

// quotes demands that an error is about a packet to an address.
func quotes(t *testing.T, p *wiretest.Packet, to netip.Addr) {
	t.Helper()
	if len(p.Payload) < 20 || netip.AddrFrom4([4]byte(p.Payload[16:20])) != to {
		t.Errorf("%v quotes % x", p, p.Payload)
	}
}
