//go:build linux

package wire

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

func stat(t *testing.T, n *Network, name string) uint64 {
	t.Helper()
	s, err := n.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v, ok := s[name]
	if !ok {
		t.Fatalf("there is no counter %s", name)
	}
	return v
}

// hostOf returns a socket of the host's, where the guest's gateway is. The host need not ask who the guest is.
func hostOf(t *testing.T, n *Network) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	l, err := netlink.LinkByName(n.att.dev.Name)
	if err != nil {
		t.Fatal(err)
	}
	err = netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: wiretest.GuestIP.AsSlice(), HardwareAddr: wiretest.GuestMAC,
	})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(wiretest.GatewayIP, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// exchange sends a datagram from the guest to the host and one back.
func exchange(t *testing.T, g *wiretest.Guest, lane int, host *net.UDPConn, to netip.AddrPort, port uint16) {
	t.Helper()
	from := netip.AddrPortFrom(wiretest.GuestIP, port)
	g.Transmit(lane, link.NetHeader{}, wiretest.UDP{From: from, To: to, Payload: []byte("ping")})
	b := make([]byte, 16)
	n, peer, err := host.ReadFromUDPAddrPort(b)
	if err != nil || string(b[:n]) != "ping" || peer != from {
		t.Fatalf("the host got %q from %v, %v", b[:n], peer, err)
	}
	if _, err := host.WriteToUDPAddrPort([]byte("pong"), peer); err != nil {
		t.Fatal(err)
	}
	if p := g.Expect("the host's answer", wiretest.Between(to, from)); string(p.Payload) != "pong" {
		t.Errorf("the guest got %q", p.Payload)
	}
}

func TestFramesBothWays(t *testing.T) {
	n := newNetwork(t, Options{Device: "wire0"})
	g := wiretest.Attach(t, n, wiretest.Layout())
	host, to := hostOf(t, n)
	exchange(t, g, 0, host, to, 5000)
	if stat(t, n, "nic.sent_frames") < 1 || stat(t, n, "nic.received_frames") < 1 {
		t.Error("frames are not counted")
	}
}

func TestSeveralQueuePairs(t *testing.T) {
	spec := wiretest.Layout()
	spec.QueuePairs = 3
	n := newNetwork(t, Options{})
	g := wiretest.Attach(t, n, spec)
	host, to := hostOf(t, n)
	for lane := range 3 {
		for flow := range 8 {
			exchange(t, g, lane, host, to, uint16(5000+10*lane+flow))
		}
	}
	// A driver that begins anew, with one pair, gets what the kernel has learned to send on others.
	g.Reset(link.NetFeatures)
	for flow := range 30 {
		exchange(t, g, 0, host, to, uint16(5000+flow))
	}
}

func TestMonitorComesBack(t *testing.T) {
	n := newNetwork(t, Options{Device: "wire1"})
	g := wiretest.Attach(t, n, wiretest.Layout())
	host, to := hostOf(t, n)
	for range 2 {
		exchange(t, g, 0, host, to, 5000)
		g.Close()
		waitForState(t, "wire1", netlink.OperDown)
		g = wiretest.Connect(t, g.Attached, 1, link.NetFeatures)
		waitForState(t, "wire1", netlink.OperUp)
	}
	exchange(t, g, 0, host, to, 5000)
}

// waitForState waits until the kernel sees the carrier that it was told of.
func waitForState(t *testing.T, name string, want netlink.LinkOperState) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if l.Attrs().OperState == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is %v, not %v", name, l.Attrs().OperState, want)
		}
	}
}

func TestDeviceIsDeleted(t *testing.T) {
	n := newNetwork(t, Options{Device: "wire3"})
	g := wiretest.Attach(t, n, wiretest.Layout())
	g.Settled()
	l, err := netlink.LinkByName("wire3")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkDel(l); err != nil {
		t.Fatal(err)
	}
	<-g.Link.Done()
	if !errors.Is(g.Link.Err(), link.ErrPeerGone) {
		t.Errorf("the link is down for %v", g.Link.Err())
	}
	n.att.ends.Wait() // nobody serves links any more
	if _, err := link.Dial(t.Context(), g.Attached.SocketPath, link.Ask{Purpose: link.Frames, Lanes: 1}); err == nil {
		t.Error("there is a link to a device that is gone")
	}
}

func TestLyingOffloads(t *testing.T) {
	n := newNetwork(t, Options{})
	g := wiretest.Attach(t, n, wiretest.Layout())
	host, to := hostOf(t, n)
	frame := append(wiretest.Ether(wiretest.GuestMAC, wiretest.GatewayMAC, 0x0800), bytes.Repeat([]byte{0x45}, 100)...)
	bad := []link.NetHeader{
		{Flags: link.NetNeedsChecksum, ChecksumStart: 200},
		{GSOType: link.NetGSOTCPv4, GSOSize: 0, Flags: link.NetNeedsChecksum},
		{GSOType: link.NetGSOTCPv4, GSOSize: 100},
		{GSOType: 77, GSOSize: 1, Flags: link.NetNeedsChecksum},
		{GSOType: link.NetGSOECN},
	}
	for _, h := range bad {
		g.SendFrame(0, h, frame)
	}
	exchange(t, g, 0, host, to, 5000)
	if dropped := stat(t, n, "nic.dropped.offload"); dropped != uint64(len(bad)) {
		t.Errorf("%d frames were dropped for their header, of %d", dropped, len(bad))
	}
	g.Reset(0) // a driver that has accepted nothing
	g.SendFrame(0, link.NetHeader{Flags: link.NetNeedsChecksum, ChecksumStart: 34, ChecksumOffset: 6}, frame)
	exchange(t, g, 0, host, to, 5000)
	if dropped := stat(t, n, "nic.dropped.offload"); dropped != uint64(len(bad))+1 {
		t.Errorf("%d frames were dropped: the driver has not accepted partial checksums", dropped)
	}
}

func TestRunts(t *testing.T) {
	n := newNetwork(t, Options{})
	g := wiretest.Attach(t, n, wiretest.Layout())
	for size := range 14 {
		g.SendFrame(0, link.NetHeader{}, make([]byte, size))
	}
	g.Settled()
	if refused := stat(t, n, "nic.dropped.refused"); refused != 14 {
		t.Errorf("the kernel refused %d frames of 14", refused)
	}
}

func TestWhatTheHostHasToDecide(t *testing.T) {
	cidr := netip.MustParsePrefix("192.0.2.0/24")
	for name, change := range map[string]func(*network.Attachment){
		"a rule":        func(a *network.Attachment) { a.Policy.Rules = []network.Rule{{Origin: "a.hcl:1", CIDR: cidr}} },
		"an empty list": func(a *network.Attachment) { a.Policy.Default = network.Deny },
		"a limit":       func(a *network.Attachment) { a.Policy.Limits.BytesPerSecond = 1 },
		"a service":     func(a *network.Attachment) { a.Services = []network.Service{{Name: "s", TCPAddress: "127.0.0.1:1"}} },
		"published port": func(a *network.Attachment) {
			a.Published = []network.PublishedPort{{Protocol: network.TCP, GuestPort: 1}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, Options{Device: "wire4"})
			spec := wiretest.Layout()
			change(&spec)
			_, err := n.Attach(t.Context(), spec)
			if !errors.Is(err, errdef.ErrUnsupported) || !strings.Contains(errdef.Remedy(err), `network "slirp"`) {
				t.Errorf("error %v, remedy %q", err, errdef.Remedy(err))
			}
			if _, err := netlink.LinkByName("wire4"); err == nil {
				t.Error("there is a device")
			}
		})
	}
	n := newNetwork(t, Options{})
	wiretest.Attach(t, n, wiretest.Layout())
	if _, err := n.UpdatePolicy(t.Context(), network.Policy{}); !errors.Is(err, errdef.ErrUnsupported) {
		t.Errorf("a policy that denies everything came later: %v", err)
	}
	if _, err := n.UpdatePolicy(t.Context(), network.Policy{Default: network.Allow}); err != nil {
		t.Error(err)
	}
}

func TestBadNames(t *testing.T) {
	for _, name := range []string{"a/b", "..", "with space", "sixteen-letters-", "tap%d", "a:b", "\xff"} {
		for _, opt := range []Options{{Device: name}, {Bridge: name}} {
			if err := New().Configure(opt); !errors.Is(err, errdef.ErrInvalid) {
				t.Errorf("%+v: %v", opt, err)
			}
		}
	}
}

// A jail that cannot be closed leaves nothing.
func TestJailFails(t *testing.T) {
	n := newNetwork(t, Options{Device: "wire5"})
	n.opt.Confine = func(string) error { return os.ErrPermission }
	if _, err := n.Attach(t.Context(), wiretest.Layout()); !errors.Is(err, errdef.ErrUnavailable) {
		t.Error(err)
	}
	if _, err := netlink.LinkByName("wire5"); err == nil {
		t.Error("there is a device")
	}
}
