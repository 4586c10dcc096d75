package slirp

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/arp"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/capture"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/dhcp"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/dns"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/flowlog"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/icmp"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/loop"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/ndp"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/nic"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/tcp"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/udp"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// attachment is one guest's network.
type attachment struct {
	spec      network.Attachment
	policy    *policy.Evaluator
	log       flowlog.Log
	loop      *loop.Loop
	stack     *stack.Stack
	card      *nic.Endpoint
	tcp       *tcp.Forwarder
	udp       *udp.Forwarder
	icmp      *icmp.Forwarder
	dns       *dns.Server
	closers   []io.Closer
	published []netip.AddrPort

	capturing sync.Mutex
	ctx       context.Context // of all that the attachment does
	cancel    context.CancelFunc
	ends      sync.WaitGroup
	once      sync.Once
	now       func() time.Time
	gone      chan struct{} // closed when everything has ended
}

// attach puts a network together, with its link to be fetched at path.
func attach(spec network.Attachment, path string, opt Options) (*attachment, error) {
	if err := check(&spec); err != nil {
		return nil, err
	}
	host, err := hostAddresses()
	if err != nil {
		return nil, err
	}
	evaluator, err := policy.New(policy.Config{
		Services: spec.Services, Gateway: addresses(spec.Gateway), DNS: spec.DNS, Networks: networks(spec.Guest), Host: host,
	}, spec.Policy)
	if err != nil {
		return nil, err
	}
	a := &attachment{spec: spec, policy: evaluator, now: opt.Now, gone: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.openResolver(opt.Resolvers)
	if err := a.build(path); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

func (a *attachment) build(path string) (err error) {
	if a.loop, err = loop.New(); err != nil {
		return err
	}
	a.card = nic.New(a.cardConfig())
	if a.stack, err = newStack(a.card, a.spec); err != nil {
		return err
	}
	a.forward()
	for _, p := range a.spec.Published {
		at, err := a.publish(p)
		if err != nil {
			return err
		}
		a.published = append(a.published, at)
	}
	l, err := link.Listen(path, link.Terms{Purpose: link.Frames, MaxLanes: a.spec.QueuePairs, Features: link.NetFeatures})
	if err != nil {
		return err
	}
	a.ends.Go(func() {
		defer l.Close()
		a.serve(l)
	})
	return nil
}

// cardConfig describes the card and those who answer for it.
func (a *attachment) cardConfig() nic.Config {
	guest, gateway := nic.MAC(a.spec.GuestMAC), nic.MAC(a.spec.GatewayMAC)
	cfg := nic.Config{
		Loop: a.loop, Guest: guest, Gateway: gateway, MTU: a.spec.MTU, Addresses: addresses(a.spec.Guest), Refused: a.refused,
		ARP: &arp.Responder{Guest: guest, Gateway: gateway, Networks: a.spec.Guest},
		NDP: &ndp.Responder{Guest: guest, Gateway: gateway, Networks: a.spec.Guest, DNS: a.spec.DNS, MTU: a.spec.MTU},
		SYN: func(from, to netip.AddrPort) { a.tcp.Reuse(from, to) },
		UDP: func(from, to netip.AddrPort, datagram []byte) { a.udp.Take(from, to, datagram) },
	}
	for _, p := range a.spec.Guest {
		router := slices.IndexFunc(a.spec.Gateway, func(g netip.Prefix) bool { return g.Addr().Is4() })
		if p.Addr().Is4() && router >= 0 {
			cfg.DHCP = &dhcp.Server{
				Guest: guest, Gateway: gateway, Address: p, Router: a.spec.Gateway[router].Addr(), DNS: a.spec.DNS, MTU: a.spec.MTU,
			}
			break
		}
	}
	return cfg
}

// forward puts the forwarders on the stack.
func (a *attachment) forward() {
	gateway, guest := addresses(a.spec.Gateway), addresses(a.spec.Guest)
	sender := icmp.Sender{Stack: a.stack, NIC: nicID, Gateway: gateway}
	a.tcp = tcp.New(tcp.Config{
		Stack: a.stack, NIC: nicID, Loop: a.loop, Policy: a.policy, Log: &a.log, ICMP: &sender, Gateway: gateway, Guest: guest,
		Local: a.localTCP(),
	})
	a.udp = udp.New(udp.Config{
		Stack: a.stack, NIC: nicID, MTU: a.spec.MTU, Loop: a.loop, Policy: a.policy, Log: &a.log, ICMP: &sender, Gateway: gateway, Guest: guest,
		Local: a.localUDP(), Now: a.now,
	})
	a.icmp = icmp.New(icmp.Config{
		Sender: sender, Loop: a.loop, Policy: a.policy, Log: &a.log, Own: slices.Concat(gateway, a.spec.DNS),
	})
}

// close ends everything and waits for it.
func (a *attachment) close() {
	a.once.Do(func() {
		defer close(a.gone)
		a.cancel()
		a.dns.Close() // before those who wait for its answers
		if a.tcp != nil {
			a.tcp.Close()
			a.udp.Close()
			a.icmp.Close()
		}
		a.ends.Wait()
		if a.stack != nil {
			a.stack.Close()
			if a.tcp != nil {
				a.tcp.Wait()
			}
			a.stack.Wait()
		}
		if a.loop != nil {
			a.loop.Close()
		}
		for _, c := range a.closers {
			_ = c.Close()
		}
	})
}

func (a *attachment) reevaluate() int {
	return a.tcp.Reevaluate() + a.udp.Reevaluate() + a.icmp.Reevaluate()
}

// publish makes a port of the guest one of the host.
func (a *attachment) publish(p network.PublishedPort) (netip.AddrPort, error) {
	host := p.Host
	if !host.IsValid() {
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	at := netip.AddrPortFrom(host, p.HostPort)
	switch p.Protocol {
	case network.TCP:
		return a.tcp.Publish(at, p.GuestPort)
	case network.UDP:
		return a.udp.Publish(at, p.GuestPort)
	}
	return netip.AddrPort{}, errdef.New(errdef.ErrInvalid, "%s has no ports to publish", p.Protocol)
}

func (a *attachment) unpublish(proto network.Protocol, port uint16) error {
	switch proto {
	case network.TCP:
		return a.tcp.Unpublish(port)
	case network.UDP:
		return a.udp.Unpublish(port)
	}
	return errdef.New(errdef.ErrInvalid, "%s has no ports to publish", proto)
}

func (a *attachment) explain(f network.Flow) (network.Verdict, error) {
	return a.policy.Explain(f)
}

func (a *attachment) stats() map[string]uint64 {
	s := make(map[string]uint64)
	a.card.Stats(s)
	a.tcp.Stats(s)
	a.udp.Stats(s)
	a.icmp.Stats(s)
	a.dns.Stats(s)
	return s
}

// capture writes frames to w until ctx ends or the limit is reached. There is one capture at a time.
func (a *attachment) capture(ctx context.Context, c network.Capture, w io.Writer) error {
	if !a.capturing.TryLock() {
		return errdef.New(errdef.ErrState, "a capture is under way")
	}
	defer a.capturing.Unlock()
	limit := c.MaxBytes
	if limit == 0 {
		limit = network.DefaultCaptureBytes
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	taken := capture.New(c.SnapLength, limit)
	a.card.SetTap(taken)
	defer a.card.SetTap(nil)
	stop := context.AfterFunc(a.ctx, cancel)
	defer stop()
	err := taken.Run(ctx, w)
	if missed := taken.Missed(); missed > 0 {
		slog.Warn("the capture lacks frames, since its reader was slow", "frames", missed)
	}
	return err
}

// hostAddresses returns the addresses of the host's interfaces.
func hostAddresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of the host: %w", err)
	}
	var addrs []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			addrs = append(addrs, p.Addr().Unmap())
		}
	}
	return addrs, nil
}

func addresses(prefixes []netip.Prefix) []netip.Addr {
	var addrs []netip.Addr
	for _, p := range prefixes {
		addrs = append(addrs, p.Addr())
	}
	return addrs
}

// networks are the prefixes of addresses.
func networks(prefixes []netip.Prefix) []netip.Prefix {
	var masked []netip.Prefix
	for _, p := range prefixes {
		masked = append(masked, p.Masked())
	}
	return masked
}

func toStack(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }
