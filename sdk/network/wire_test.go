package network_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// hostPorts is where the ports of attachment are published.
var hostPorts = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:49152"), netip.MustParseAddrPort("[::1]:53")}

// fake keeps what it is called with.
type fake struct {
	attachment network.Attachment
	policy     network.Policy
	published  network.PublishedPort
	flow       network.Flow
	capture    network.Capture
	events     []network.Event
}

func (f *fake) Attach(_ context.Context, a network.Attachment) (network.Attached, error) {
	f.attachment = a
	return network.Attached{SocketPath: "/run/link", Capabilities: []string{network.CapPcap}, Published: hostPorts}, nil
}

func (f *fake) UpdatePolicy(_ context.Context, p network.Policy) (int, error) {
	f.policy = p
	return 3, nil
}

func (f *fake) Publish(_ context.Context, p network.PublishedPort) (netip.AddrPort, error) {
	f.published = p
	return netip.MustParseAddrPort("127.0.0.1:8080"), nil
}

func (f *fake) Unpublish(_ context.Context, proto network.Protocol, port uint16) error {
	return errdef.New(errdef.ErrNotFound, "%s port %d is not published", proto, port)
}

func (f *fake) Explain(_ context.Context, flow network.Flow) (network.Verdict, error) {
	f.flow = flow
	return network.Verdict{Action: network.Allow, Rule: "a.hcl:3", Reason: "it says so"}, nil
}

func (f *fake) Watch(_ context.Context, fn func(network.Event) error) error {
	for _, e := range f.events {
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) Stats(context.Context) (map[string]uint64, error) {
	return map[string]uint64{"tcp.opened": 1 << 40}, nil
}

func (f *fake) Capture(_ context.Context, c network.Capture, w io.Writer) error {
	f.capture = c
	_, err := w.Write(bytes.Repeat([]byte("p"), 200<<10))
	return err
}

func dial(t *testing.T, f *fake) network.Network {
	return network.NewClient(sdk.TestConn(t, sdk.Plugin{Name: "fake", Version: "1.0.0", Network: f}, "{}"))
}

func policy() network.Policy {
	return network.Policy{
		Rules: []network.Rule{
			{Origin: "a.hcl:1", CIDR: netip.MustParsePrefix("10.0.0.0/8")},
			{Origin: "a.hcl:2", Action: network.Allow, Domain: "*.pypi.org", Ports: []network.PortRange{{First: 443, Last: 443}}, Protocols: []network.Protocol{network.TCP}},
			{Origin: "a.hcl:3", Action: network.Allow, Any: true},
		},
		Default:       network.Allow,
		RestrictNames: true,
		Limits:        network.Limits{Connections: 1, NewConnectionsPerSecond: 2, BytesPerSecond: 3, TotalBytes: 4},
	}
}

func attachment() network.Attachment {
	return network.Attachment{
		GuestMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, GatewayMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2},
		Guest:   []netip.Prefix{netip.MustParsePrefix("10.0.2.15/24"), netip.MustParsePrefix("fd00::15/64")},
		Gateway: []netip.Prefix{netip.MustParsePrefix("10.0.2.2/24")},
		DNS:     []netip.Addr{netip.MustParseAddr("10.0.2.3")},
		MTU:     1500, QueuePairs: 2, Policy: policy(),
		Published: []network.PublishedPort{{Protocol: network.TCP, GuestPort: 80}, {Protocol: network.UDP, Host: netip.MustParseAddr("::1"), HostPort: 53, GuestPort: 53}},
		Services: []network.Service{
			{Name: "ollama", Guest: netip.MustParseAddrPort("10.0.2.2:11434"), TCPAddress: "127.0.0.1:11434"},
			{Name: "broker", Guest: netip.MustParseAddrPort("10.0.2.2:80"), UnixPath: "/run/broker"},
			{Name: "time", Guest: netip.MustParseAddrPort("10.0.2.2:123"), UDPAddress: "127.0.0.1:123"},
		},
	}
}

var equal = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{})

func TestEveryFieldTravels(t *testing.T) {
	now := time.Now().UTC()
	f := &fake{events: []network.Event{
		{Kind: network.Denied, Time: now, Protocol: network.TCP, Source: "a", Destination: "b", Name: "n", Rule: "r", Sent: 1, Received: 2, Duration: time.Second},
		{Kind: network.Lost, Time: now, Sent: 9},
	}}
	n, ctx := dial(t, f), t.Context()

	attached, err := n.Attach(ctx, attachment())
	if err != nil || attached.SocketPath != "/run/link" || len(attached.Capabilities) != 1 {
		t.Errorf("attached %+v, %v", attached, err)
	}
	if diff := cmp.Diff(attachment(), f.attachment, equal) + cmp.Diff(hostPorts, attached.Published, equal); diff != "" {
		t.Error(diff)
	}
	fewer := attachment()
	fewer.Published = fewer.Published[:1]
	if _, err := n.Attach(ctx, fewer); !errors.Is(err, errdef.ErrDataLoss) {
		t.Errorf("an answer with more ports than were asked for: %v", err)
	}
	if reset, err := n.UpdatePolicy(ctx, policy()); reset != 3 || err != nil {
		t.Errorf("reset %d, %v", reset, err)
	}
	if diff := cmp.Diff(policy(), f.policy, equal); diff != "" {
		t.Error(diff)
	}
	port := network.PublishedPort{Protocol: network.UDP, HostPort: 1, GuestPort: 2}
	if addr, err := n.Publish(ctx, port); addr.Port() != 8080 || err != nil || f.published != port {
		t.Errorf("published %v at %v, %v", f.published, addr, err)
	}
	if err := n.Unpublish(ctx, network.TCP, 80); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("unpublish: %v", err)
	}
	flow := network.Flow{Protocol: network.TCP, Host: "pypi.org", Port: 443}
	if v, err := n.Explain(ctx, flow); v.Rule != "a.hcl:3" || v.Action != network.Allow || err != nil || f.flow != flow {
		t.Errorf("verdict %+v on %+v, %v", v, f.flow, err)
	}
	var seen []network.Event
	if err := n.Watch(ctx, func(e network.Event) error { seen = append(seen, e); return nil }); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(f.events, seen); diff != "" {
		t.Error(diff)
	}
	if stats, err := n.Stats(ctx); stats["tcp.opened"] != 1<<40 || err != nil {
		t.Errorf("stats %v, %v", stats, err)
	}
	var pcap bytes.Buffer
	if err := n.Capture(ctx, network.Capture{SnapLength: 96}, &pcap); err != nil || pcap.Len() != 200<<10 {
		t.Errorf("captured %d bytes, %v", pcap.Len(), err)
	}
	if f.capture != (network.Capture{SnapLength: 96, MaxBytes: network.DefaultCaptureBytes}) {
		t.Errorf("capture %+v", f.capture)
	}
}

func TestWatcherThatFailsEndsTheWatch(t *testing.T) {
	f := &fake{events: []network.Event{{Kind: network.Opened}, {Kind: network.Closed}}}
	enough := errors.New("enough")
	if err := dial(t, f).Watch(t.Context(), func(network.Event) error { return enough }); err != enough {
		t.Errorf("error %v", err)
	}
}

func TestBadAttachmentsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*network.Attachment){
		"short MAC":            func(a *network.Attachment) { a.GuestMAC = a.GuestMAC[:5] },
		"negative MTU":         func(a *network.Attachment) { a.MTU = -1 },
		"huge MTU":             func(a *network.Attachment) { a.MTU = 1 << 20 },
		"many queues":          func(a *network.Attachment) { a.QueuePairs = 1000 },
		"no destination":       func(a *network.Attachment) { a.Policy.Rules[0].CIDR = netip.Prefix{} },
		"two destinations":     func(a *network.Attachment) { a.Policy.Rules[0].Any = true },
		"empty range":          func(a *network.Attachment) { a.Policy.Rules[1].Ports[0].First = 444 },
		"unknown protocol":     func(a *network.Attachment) { a.Policy.Rules[1].Protocols[0] = "sctp" },
		"icmp published":       func(a *network.Attachment) { a.Published[0].Protocol = network.ICMP },
		"no guest port":        func(a *network.Attachment) { a.Published[0].GuestPort = 0 },
		"service to nowhere":   func(a *network.Attachment) { a.Services[0].TCPAddress = "" },
		"service from nowhere": func(a *network.Attachment) { a.Services[0].Guest = netip.AddrPort{} },
	} {
		t.Run(name, func(t *testing.T) {
			f, a := &fake{}, attachment()
			spoil(&a)
			if _, err := dial(t, f).Attach(t.Context(), a); !errors.Is(err, errdef.ErrInvalid) {
				t.Errorf("error %v", err)
			}
			if f.attachment.MTU != 0 {
				t.Error("it reached the network")
			}
		})
	}
}
