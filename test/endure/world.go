package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/tap"
	"github.com/voidbox-run/voidbox/internal/taplink"
	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// A machine of its own, in namespaces, with a guest behind the network plugin:
//
//	guest's namespace ── TAP ── taplink, by a wire that may be bad ══ link ══ plugin, as it is shipped ── this namespace
//
// Of this namespace's addresses the guest may reach one of each family; there is a resolver, services on the loopback, and an address that
// swallows everything. A web server, which the guest may reach by names, is in a third namespace, as names are for others than the host.
var (
	hostIP     = netip.MustParseAddr("198.51.100.1")
	hostIP6    = netip.MustParseAddr("2001:db8::1")
	deniedIP   = netip.MustParseAddr("198.51.100.66")
	resolverIP = netip.MustParseAddr("198.51.100.53")
	webIP      = netip.MustParseAddr("198.51.100.80") // of names
	nowhere    = netip.MustParseAddr("203.0.113.1")

	guestIP   = netip.MustParsePrefix("10.0.2.15/24")
	guestIP6  = netip.MustParsePrefix("fd00:2::5054:ff:fe12:3456/64") // which it would give itself, too (RFC 4862)
	gatewayIP = netip.MustParsePrefix("10.0.2.2/24")
	gateway6  = netip.MustParsePrefix("fd00:2::2/64")
	dnsIP     = netip.MustParseAddr("10.0.2.3")
)

const (
	port        = 7000
	servicePort = 7001 // on the host's loopback
	unixPort    = 7002 // a socket in the file system
	closedPort  = 7009
)

// alone runs this program again, in network and mount namespaces of its own. It dies with this one.
func alone(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), aloneEnv+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	err := cmd.Run()
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("network and mount namespaces need root: %w", err)
	}
	return err
}

const aloneEnv = "VOIDBOX_ENDURE_ALONE"

// world is the machine.
type world struct {
	dir     string // of sockets and files
	host    *pluginhost.Host
	plugin  *pluginhost.Instance
	network network.Network
	spec    network.Attachment
	out     []netip.AddrPort // published ports: TCP, UDP
	guest   *os.File         // its namespace
	web     *os.File         // that of the web server
	queue   *tap.Queue
	link    *link.Link
	wire    taplink.Wire
}

func newWorld(ctx context.Context, bin string) (w *world, err error) {
	w = &world{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close(context.WithoutCancel(ctx)))
		}
	}()
	if w.dir, err = os.MkdirTemp("", "endure-net-"); err != nil {
		return w, err
	}
	if err := w.furnish(); err != nil {
		return w, err
	}
	if bin, err = filepath.Abs(bin); err != nil {
		return w, err
	}
	if w.host, err = pluginhost.New(pluginhost.Options{BuiltinDir: bin}); err != nil {
		return w, err
	}
	w.plugin, err = w.host.Start(ctx, pluginhost.Request{Kind: base.KindNetwork, Name: "slirp", Instance: "endure"})
	if err != nil {
		return w, err
	}
	w.network, w.spec = w.plugin.Network(), w.attachment()
	at, err := w.network.Attach(ctx, w.spec)
	if err != nil {
		return w, err
	}
	w.out = at.Published
	if err := w.makeGuest(); err != nil {
		return w, err
	}
	w.link, err = link.Dial(ctx, at.SocketPath, taplink.Ask())
	return w, err
}

// furnish gives this namespace its addresses, and this mount namespace its resolver.
func (w *world) furnish() error {
	for _, args := range []string{
		"link set lo up", "tuntap add dev nowhere mode tun", "link set nowhere up", "route add " + nowhere.String() + "/32 dev nowhere",
		"addr add " + hostIP.String() + "/32 dev lo", "addr add " + deniedIP.String() + "/32 dev lo", "addr add " + resolverIP.String() + "/32 dev lo",
		"addr add " + hostIP6.String() + "/128 dev lo",
	} {
		if err := ip(args); err != nil {
			return err
		}
	}
	conf := filepath.Join(w.dir, "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver "+resolverIP.String()+"\n"), 0o644); err != nil {
		return err
	}
	target, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		return err
	}
	if err := w.makeWeb(); err != nil {
		return err
	}
	return errors.Join(fewTimeWaits(), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount(conf, target, "", unix.MS_BIND, ""))
}

func ip(args string) error {
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("ip %s: %w: %s", args, err, out)
	}
	return err
}

// fewTimeWaits keeps ends of connections from taking up the ports of the calling thread's namespace.
func fewTimeWaits() error {
	return os.WriteFile("/proc/sys/net/ipv4/tcp_max_tw_buckets", []byte("256"), 0)
}

func (w *world) attachment() network.Attachment {
	allow := func(a netip.Addr) network.Rule {
		return network.Rule{Origin: "endure", Action: network.Allow, CIDR: netip.PrefixFrom(a, a.BitLen())}
	}
	service := func(name string, p uint16, s network.Service) network.Service {
		s.Name, s.Guest = name, netip.AddrPortFrom(gatewayIP.Addr(), p)
		return s
	}
	return network.Attachment{
		GuestMAC: net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}, GatewayMAC: net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 1},
		Guest: []netip.Prefix{guestIP, guestIP6}, Gateway: []netip.Prefix{gatewayIP, gateway6}, DNS: []netip.Addr{dnsIP}, MTU: 1500,
		Policy: network.Policy{RestrictNames: true, Rules: []network.Rule{
			allow(hostIP), allow(hostIP6), allow(nowhere), {Origin: "endure", Action: network.Allow, Domain: "*.endure.example"},
		}},
		Services: []network.Service{
			service("tcp", servicePort, network.Service{TCPAddress: fmt.Sprintf("127.0.0.1:%d", servicePort)}),
			service("unix", unixPort, network.Service{UnixPath: filepath.Join(w.dir, "service.sock")}),
		},
		Published: []network.PublishedPort{{Protocol: network.TCP, GuestPort: port}, {Protocol: network.UDP, GuestPort: port}},
	}
}

// makeGuest makes the namespace that plays the guest.
func (w *world) makeGuest() error {
	g := taplink.Guest{
		Name: "guest", MAC: w.spec.GuestMAC, MTU: w.spec.MTU, Addresses: w.spec.Guest, Gateways: []netip.Addr{gatewayIP.Addr(), gateway6.Addr()},
	}
	return taplink.InNamespace("", func() (err error) {
		if w.guest, err = hereAndNow(); err != nil {
			return err
		}
		if w.queue, err = g.Make(); err != nil {
			return err
		}
		return fewTimeWaits()
	})
}

// makeWeb makes the namespace that plays the web.
func (w *world) makeWeb() error {
	if err := taplink.InNamespace("", func() (err error) { w.web, err = hereAndNow(); return err }); err != nil {
		return err
	}
	for _, args := range []string{
		fmt.Sprintf("link add web type veth peer name eth0 netns %s", path(w.web)), "addr add 192.0.2.1/24 dev web", "link set web up",
		"route add " + webIP.String() + "/32 via 192.0.2.2",
	} {
		if err := ip(args); err != nil {
			return err
		}
	}
	return taplink.InNamespace(path(w.web), func() error {
		return errors.Join(ip("addr add 192.0.2.2/24 dev eth0"), ip("addr add "+webIP.String()+"/32 dev eth0"), ip("link set eth0 up"), fewTimeWaits())
	})
}

// hereAndNow is the calling thread's namespace.
func hereAndNow() (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
}

// path is what others find a file of ours by.
func path(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()) }

// inGuest runs do on a thread in the guest's namespace; sockets that it makes stay there.
func (w *world) inGuest(do func() error) error {
	return taplink.InNamespace(path(w.guest), do)
}

// guestDials dials an address, which takes no goroutine but this one.
func (w *world) guestDials(ctx context.Context, proto string, to netip.AddrPort) (conn net.Conn, err error) {
	err = w.inGuest(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, proto, to.String())
		return err
	})
	return conn, err
}

// close ends everything.
func (w *world) close(ctx context.Context) (err error) {
	if w.link != nil {
		w.link.Close()
	}
	if w.queue != nil {
		err = w.queue.Close()
	}
	for _, namespace := range []*os.File{w.guest, w.web} {
		if namespace != nil {
			err = errors.Join(err, namespace.Close())
		}
	}
	if w.host != nil {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		err = errors.Join(err, w.host.Close(ctx))
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}
