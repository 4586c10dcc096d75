package slirp

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/arp"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/flowlog"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/loop"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/nic"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/tcp"
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
	published []netip.AddrPort

	cancel context.CancelFunc
	ends   sync.WaitGroup
	once   sync.Once
	done   chan struct{}
}

// attach puts a network together, with its link to be fetched at path.
func attach(spec network.Attachment, path string) (*attachment, error) {
	if err := check(&spec); err != nil {
		return nil, err
	}
	host, err := hostAddresses()
	if err != nil {
		return nil, err
	}
	evaluator, err := policy.New(policy.Config{
		Services: spec.Services, Gateway: addresses(spec.Gateway), DNS: spec.DNS, Host: host,
	}, spec.Policy)
	if err != nil {
		return nil, err
	}
	a := &attachment{spec: spec, policy: evaluator, done: make(chan struct{})}
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
	a.card = nic.New(nic.Config{
		Guest: nic.MAC(a.spec.GuestMAC), Gateway: nic.MAC(a.spec.GatewayMAC), MTU: a.spec.MTU, Addresses: addresses(a.spec.Guest),
		ARP:     &arp.Responder{Guest: nic.MAC(a.spec.GuestMAC), Gateway: nic.MAC(a.spec.GatewayMAC), Networks: a.spec.Guest},
		Martian: a.martian,
		SYN:     func(from, to netip.AddrPort) { a.tcp.Reuse(from, to) },
	})
	if a.stack, err = newStack(a.card, a.spec); err != nil {
		return err
	}
	a.tcp = tcp.New(tcp.Config{
		Stack: a.stack, NIC: nicID, Loop: a.loop, Policy: a.policy, Log: &a.log,
		Gateway: addresses(a.spec.Gateway), Guest: addresses(a.spec.Guest),
	})
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
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	a.ends.Go(func() {
		defer l.Close()
		a.serve(ctx, l)
	})
	return nil
}

// close ends everything and waits for it.
func (a *attachment) close() {
	a.once.Do(func() {
		close(a.done)
		if a.cancel != nil {
			a.cancel()
		}
		if a.tcp != nil {
			a.tcp.Close()
		}
		a.ends.Wait()
		if a.stack != nil {
			a.stack.Destroy()
		}
		if a.loop != nil {
			a.loop.Close()
		}
	})
}

// martian tells of a packet for an address that no host can have.
func (a *attachment) martian(protocol uint8, from, to netip.AddrPort) {
	proto := network.TCP
	if protocol != tcpProtocol {
		proto = network.UDP
	}
	a.log.Denied(policy.Flow{Protocol: proto, Source: from, Destination: to}, policy.Verdict{Rule: policy.RuleMartian})
}

func (a *attachment) reevaluate() int { return a.tcp.Reevaluate() }

// publish makes a port of the guest one of the host.
func (a *attachment) publish(p network.PublishedPort) (netip.AddrPort, error) {
	host := p.Host
	if !host.IsValid() {
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	at := netip.AddrPortFrom(host, p.HostPort)
	if p.Protocol == network.TCP {
		return a.tcp.Publish(at, p.GuestPort)
	}
	return netip.AddrPort{}, errdef.New(errdef.ErrInvalid, "%s has no ports to publish", p.Protocol)
}

func (a *attachment) unpublish(proto network.Protocol, port uint16) error {
	if proto == network.TCP {
		return a.tcp.Unpublish(port)
	}
	return errdef.New(errdef.ErrNotFound, "%s port %d is not published", proto, port)
}

func (a *attachment) explain(f network.Flow) (network.Verdict, error) {
	addr, err := netip.ParseAddr(f.Host)
	if err != nil {
		return network.Verdict{}, errdef.New(errdef.ErrUnsupported, "explain %q: names are not resolved yet", f.Host)
	}
	v := a.policy.Decide(policy.Flow{Protocol: f.Protocol, Destination: netip.AddrPortFrom(addr, f.Port)})
	out := network.Verdict{Rule: v.Rule, Reason: v.Reason}
	if v.Allow {
		out.Action = network.Allow
	}
	return out, nil
}

func (a *attachment) stats() map[string]uint64 {
	s := make(map[string]uint64)
	a.card.Stats(s)
	a.tcp.Stats(s)
	return s
}

func (a *attachment) capture(context.Context, network.Capture, io.Writer) error {
	return errdef.New(errdef.ErrUnsupported, "packet capture")
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

func toStack(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }
