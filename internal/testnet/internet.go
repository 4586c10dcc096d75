//go:build linux

package testnet

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Addresses of the test's machine, of the router behind its cable, and of the resolver that it is configured with.
var (
	Host     = netip.MustParsePrefix("192.0.2.2/24")
	Router   = netip.MustParsePrefix("192.0.2.1/24")
	Resolver = netip.MustParseAddr("198.51.100.53")

	Host6   = netip.MustParsePrefix("2001:db8:0:2::2/64")
	Router6 = netip.MustParsePrefix("2001:db8:0:2::1/64")
)

// Internet is what lies behind the machine's cable. It ends with the process.
type Internet struct {
	*Names
	t    testing.TB
	do   chan func() // what its thread is to do
	net  *netlink.Handle
	have map[netip.Addr]bool
}

// New makes the internet of a test that runs alone (Isolate), and the machine's way to it.
func New(t testing.TB) *Internet {
	t.Helper()
	if !Isolated() {
		t.Fatal("an internet is for a test that runs alone")
	}
	i := &Internet{t: t, do: make(chan func()), have: map[netip.Addr]bool{}}
	ready := make(chan error)
	go i.live(ready)
	must(t, <-ready)
	t.Cleanup(func() { close(i.do) })
	must(t, i.connect())
	i.Names = newNames(t, i)
	must(t, configureResolver(t.TempDir()))
	must(t, allowEcho())
	return i
}

// live is the thread that goes there.
func (i *Internet) live(ready chan<- error) {
	runtime.LockOSThread() // never unlocked: the thread ends with it
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err == nil {
		i.net, err = netlink.NewHandle(unix.NETLINK_ROUTE)
	}
	ready <- err
	for f := range i.do {
		f()
	}
}

// there calls f on the thread.
func (i *Internet) there(f func()) {
	done := make(chan struct{})
	i.do <- func() { defer close(done); f() }
	<-done
}

// connect lays the cable.
func (i *Internet) connect() (err error) {
	var far netns.NsHandle
	i.there(func() { far, err = netns.Get() })
	if err != nil {
		return err
	}
	defer far.Close()
	here, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer here.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	if err := here.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "cable", PeerNamespace: netlink.NsFd(far)}); err != nil {
		return fmt.Errorf("veth: %w", err)
	}
	for _, end := range []struct {
		h       *netlink.Handle
		name    string
		address netip.Prefix
	}{{here, "lo", netip.Prefix{}}, {here, "eth0", Host}, {i.net, "lo", netip.Prefix{}}, {i.net, "cable", Router}} {
		if err := raise(end.h, end.name, end.address); err != nil {
			return fmt.Errorf("%s: %w", end.name, err)
		}
	}
	eth, err := here.LinkByName("eth0")
	if err != nil {
		return err
	}
	return here.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: Router.Addr().AsSlice()})
}

// ConnectIPv6 gives the machine a way to the IPv6 internet, too.
func (i *Internet) ConnectIPv6() {
	i.t.Helper()
	here, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	must(i.t, err)
	defer here.Close()
	must(i.t, raise(here, "eth0", Host6))
	must(i.t, raise(i.net, "cable", Router6))
	eth, err := here.LinkByName("eth0")
	must(i.t, err)
	must(i.t, here.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: Router6.Addr().AsSlice()}))
}

func raise(h *netlink.Handle, name string, address netip.Prefix) error {
	dev, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	if address.IsValid() {
		a := netlink.Addr{IPNet: ipNet(address)}
		if address.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD // nobody else can have it
		}
		if err := h.AddrAdd(dev, &a); err != nil {
			return err
		}
	}
	return h.LinkSetUp(dev)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// settle gives the internet an address.
func (i *Internet) settle(a netip.Addr) {
	if i.have[a] || a == Router.Addr() || a == Router6.Addr() {
		return
	}
	i.have[a] = true
	must(i.t, raise(i.net, "lo", netip.PrefixFrom(a, a.BitLen())))
}

// Listen listens for connections at an address of the internet. The listener ends with the test.
func (i *Internet) Listen(at string) net.Listener {
	i.t.Helper()
	i.settle(netip.MustParseAddrPort(at).Addr())
	var l net.Listener
	var err error
	i.there(func() { l, err = net.Listen("tcp", at) })
	must(i.t, err)
	i.t.Cleanup(func() { _ = l.Close() })
	return l
}

// ListenPacket is Listen for datagrams.
func (i *Internet) ListenPacket(at string) net.PacketConn {
	i.t.Helper()
	i.settle(netip.MustParseAddrPort(at).Addr())
	var c net.PacketConn
	var err error
	i.there(func() { c, err = net.ListenPacket("udp", at) })
	must(i.t, err)
	i.t.Cleanup(func() { _ = c.Close() })
	return c
}

const resolvConf = "/etc/resolv.conf"

// configureResolver covers the machine's resolver configuration, in this process's mounts.
func configureResolver(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts of our own: %w", err)
	}
	own := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(own, []byte("nameserver "+Resolver.String()+"\n"), 0o644); err != nil {
		return err
	}
	target, err := filepath.EvalSymlinks(resolvConf)
	if err != nil {
		target = resolvConf
		if err := os.WriteFile(target, nil, 0o644); err != nil { // a machine that has none, as the lab
			return err
		}
	}
	return unix.Mount(own, target, "", unix.MS_BIND, "")
}

// allowEcho lets this user have ICMP sockets (icmp(7)), as distributions do and a new namespace does not.
func allowEcho() error { return os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
