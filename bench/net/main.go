// Command net attaches a network plugin to a TAP device in a network namespace, through a link and without a VM, so that any program
// in the namespace runs against it: curl, iperf3, ping.
//
//	ip netns add ng
//	go run ./bench/net -netns ng -service 10.0.2.2:5201=127.0.0.1:5201 &
//	ip netns exec ng iperf3 -c 10.0.2.2
//
// It runs until it is interrupted, and prints the plugin's counters then.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/tap"
	"github.com/voidbox-run/voidbox/internal/taplink"
	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/network"
)

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.netns, "netns", "", "name or path of the network namespace that plays the guest")
	flag.StringVar(&o.plugin, "plugin", "slirp", "name of the network plugin")
	flag.StringVar(&o.bin, "bin", "", "directory of the plugin; built if empty")
	flag.StringVar(&o.cache, "cache", "", "directory that remembers what plugins are, as voidbox's own does")
	flag.IntVar(&o.mtu, "mtu", 1500, "MTU")
	flag.BoolVar(&o.v6, "6", false, "give the guest an IPv6 address too")
	flag.Func("service", "guest address and port, and the host's: 10.0.2.2:80=127.0.0.1:8080 or =/path (may be repeated)", o.service)
	flag.Func("publish", "protocol and port of the guest: tcp:8080 (may be repeated)", o.publish)
	flag.Func("allow", "prefix that is always denied unless a rule names it, such as an address of this host (may be repeated)", o.allow)
	flag.BoolVar(&o.events, "events", false, "print flow events")
	flag.StringVar(&o.pcap, "pcap", "", "write a packet capture to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

type options struct {
	netns, plugin, bin, cache, pcap string
	mtu                             int
	v6, events                      bool
	services                        []network.Service
	published                       []network.PublishedPort
	rules                           []network.Rule
}

func (o *options) allow(text string) error {
	prefix, err := netip.ParsePrefix(text)
	o.rules = append(o.rules, network.Rule{Origin: "-allow", Action: network.Allow, CIDR: prefix})
	return err
}

func (o *options) service(text string) error {
	guest, host, ok := strings.Cut(text, "=")
	addr, err := netip.ParseAddrPort(guest)
	if err != nil || !ok {
		return fmt.Errorf("a service is address:port=target: %w", err)
	}
	s := network.Service{Name: text, Guest: addr, TCPAddress: host}
	if strings.HasPrefix(host, "/") {
		s.TCPAddress, s.UnixPath = "", host
	}
	o.services = append(o.services, s)
	return nil
}

func (o *options) publish(text string) error {
	var p network.PublishedPort
	proto, port, _ := strings.Cut(text, ":")
	p.Protocol = network.Protocol(proto)
	if _, err := fmt.Sscan(port, &p.GuestPort); err != nil {
		return err
	}
	o.published = append(o.published, p)
	return nil
}

// attachment is the layout that a run uses, too.
func (o *options) attachment() network.Attachment {
	a := network.Attachment{
		GuestMAC: net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}, GatewayMAC: net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 1},
		Guest:   []netip.Prefix{netip.MustParsePrefix("10.0.2.15/24")},
		Gateway: []netip.Prefix{netip.MustParsePrefix("10.0.2.2/24")},
		DNS:     []netip.Addr{netip.MustParseAddr("10.0.2.3")},
		MTU:     o.mtu, Policy: network.Policy{Rules: o.rules, Default: network.Allow}, Services: o.services, Published: o.published,
	}
	if o.v6 {
		a.Guest = append(a.Guest, netip.MustParsePrefix("fd00:2::5054:ff:fe12:3456/64")) // which it would give itself, too
		a.Gateway = append(a.Gateway, netip.MustParsePrefix("fd00:2::2/64"))
	}
	return a
}

func (o *options) run(ctx context.Context) (err error) {
	bin, clean, err := o.build(ctx)
	if err != nil {
		return err
	}
	defer clean()
	host, err := pluginhost.New(pluginhost.Options{BuiltinDir: bin, CacheDir: o.cache})
	if err != nil {
		return err
	}
	// An interrupt ends the bridge, and then the plugin is asked for its counters.
	background := context.WithoutCancel(ctx)
	defer func() { err = errors.Join(err, host.Close(background)) }()
	begin, a := time.Now(), o.attachment()
	device := o.device(a)
	plugin, err := host.Start(background, pluginhost.Request{Kind: base.KindNetwork, Name: o.plugin, Instance: "bench"})
	if err != nil {
		return err
	}
	n := plugin.Network()
	attached, err := n.Attach(ctx, a)
	if err != nil {
		return err
	}
	o.follow(ctx, n)
	q, err := device()
	if err != nil {
		return err
	}
	defer q.Close()
	if err := o.bridge(ctx, attached.SocketPath, q, func() {
		log.Printf("ready after %v, plugin is process %d, published %v", time.Since(begin).Round(100*time.Microsecond), plugin.PID(), attached.Published)
	}); err != nil && ctx.Err() == nil {
		return err
	}
	stats, err := n.Stats(background)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(stats)) {
		if stats[name] != 0 {
			log.Printf("%-28s %d", name, stats[name])
		}
	}
	return nil
}

// device begins to make the TAP, as a run makes its VM while the network starts, and returns a function that waits for it.
func (o *options) device(a network.Attachment) func() (*tap.Queue, error) {
	path := o.netns
	if path != "" && !strings.Contains(path, "/") {
		path = filepath.Join("/run/netns", path)
	}
	g := taplink.Guest{Name: "vb0", MAC: a.GuestMAC, MTU: a.MTU, Addresses: a.Guest}
	for _, p := range a.Gateway {
		g.Gateways = append(g.Gateways, p.Addr())
	}
	var q *tap.Queue
	made := make(chan error, 1)
	go func() {
		made <- taplink.InNamespace(path, func() (err error) {
			q, err = g.Make()
			return err
		})
	}()
	return func() (*tap.Queue, error) {
		err := <-made
		return q, err
	}
}

// bridge puts the TAP behind the plugin's link until ctx ends.
func (o *options) bridge(ctx context.Context, socket string, q *tap.Queue, ready func()) error {
	l, err := link.Dial(ctx, socket, taplink.Ask())
	if err != nil {
		return err
	}
	defer l.Close()
	ready()
	runtime.GOMAXPROCS(1) // the bridge is all that this process does from here on
	return taplink.Bridge(ctx, q, l)
}

// follow prints events and writes the capture in the background, until ctx ends.
func (o *options) follow(ctx context.Context, n network.Network) {
	if o.events {
		go func() {
			_ = n.Watch(ctx, func(e network.Event) error {
				log.Printf("%-6s %s %s -> %s %s %s sent %d received %d", e.Kind, e.Protocol, e.Source, e.Destination, e.Name, e.Rule, e.Sent, e.Received)
				return nil
			})
		}()
	}
	if o.pcap == "" {
		return
	}
	go func() {
		f, err := os.Create(o.pcap)
		if err == nil {
			defer f.Close()
			err = n.Capture(ctx, network.Capture{}, f)
		}
		if err != nil && ctx.Err() == nil {
			log.Print("capture: ", err)
		}
	}()
}

// build makes the plugin, unless it is there.
func (o *options) build(ctx context.Context) (dir string, clean func(), err error) {
	if o.bin != "" {
		return o.bin, func() {}, nil
	}
	dir, err = os.MkdirTemp("", "voidbox-bench-net-")
	if err != nil {
		return "", nil, err
	}
	clean = func() { _ = os.RemoveAll(dir) }
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "voidbox-network-"+o.plugin), "./plugins/net-"+o.plugin)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		clean()
		return "", nil, fmt.Errorf("build the plugin: %w", err)
	}
	return dir, clean, nil
}
