//go:build linux

package plugintest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// NetworkHarness is what the suite of networks needs.
type NetworkHarness struct {
	// Open returns a network that is configured and has no guest, and cleans up after it with t.Cleanup. It is called some twenty
	// times.
	Open func(t *testing.T) network.Network
	// Capabilities are those that the plugin declares.
	Capabilities []string
	// Polices says that the network decides about flows itself. One that does not must refuse a policy, and services.
	Polices bool
}

// Network holds a network against its contract. A scripted guest is at the other end of the link.
func Network(t *testing.T, h NetworkHarness) {
	cases := slices.Concat(networkCases, networkLinkCases)
	if h.Polices {
		cases = append(cases, networkPolicyCases...)
	} else {
		cases = append(cases, networkCase{"a policy is refused", policyIsRefused})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(&networkSession{T: t, Network: h.Open(t), harness: h, ctx: caseContext(t)}) })
	}
}

type networkCase struct {
	name string
	run  func(s *networkSession)
}

// networkSession is one case with a network of its own.
type networkSession struct {
	*testing.T
	network.Network
	harness NetworkHarness
	ctx     context.Context
}

func (s *networkSession) can(capability string) bool {
	return slices.Contains(s.harness.Capabilities, capability)
}

// want demands that an error is of a kind.
func (s *networkSession) want(what string, err, kind error) {
	s.Helper()
	if !errors.Is(err, kind) {
		s.Errorf("%s: error %v, want %v", what, err, kind)
	}
}

// layout is an attachment that asks for nothing special.
func (s *networkSession) layout() network.Attachment { return wiretest.Layout() }

// attach attaches a guest, and its scripted driver.
func (s *networkSession) attach(a network.Attachment) *wiretest.Guest {
	s.Helper()
	g := wiretest.Attach(s.T, s.Network, a)
	return g
}

var networkCases = []networkCase{
	{"nothing works without a guest", func(s *networkSession) {
		_, err := s.UpdatePolicy(s.ctx, network.Policy{})
		s.want("update policy", err, errdef.ErrState)
		_, err = s.Explain(s.ctx, network.Flow{Protocol: network.TCP, Host: "192.0.2.1", Port: 80})
		s.want("explain", err, errdef.ErrState)
		_, err = s.Stats(s.ctx)
		s.want("stats", err, errdef.ErrState)
		s.want("watch", s.Watch(s.ctx, func(network.Event) error { return nil }), errdef.ErrState)
	}},
	{"one guest", func(s *networkSession) {
		attached, err := s.Attach(s.ctx, s.layout())
		if err != nil {
			s.Fatal(err)
		}
		for _, c := range s.harness.Capabilities {
			if !slices.Contains(attached.Capabilities, c) {
				s.Errorf("capability %s is declared, and missing in %v", c, attached.Capabilities)
			}
		}
		_, err = s.Attach(s.ctx, s.layout())
		s.want("a second guest", err, errdef.ErrState)
	}},
	{"statistics are named", func(s *networkSession) {
		s.attach(s.layout())
		stats, err := s.Stats(s.ctx)
		if err != nil || len(stats) == 0 {
			s.Errorf("%d counters, %v", len(stats), err)
		}
	}},
	{"a watch ends with its context", func(s *networkSession) {
		s.attach(s.layout())
		ctx, cancel := context.WithCancel(s.ctx)
		done := make(chan error, 1)
		go func() { done <- s.Watch(ctx, func(network.Event) error { return nil }) }()
		cancel()
		<-done
	}},
	{"ports are published", publishing},
	{"captures are pcap files", capturing},
}

func publishing(s *networkSession) {
	s.attach(s.layout())
	port := network.PublishedPort{Protocol: network.TCP, GuestPort: 8080}
	where, err := s.Publish(s.ctx, port)
	if !s.can(network.CapPublish) {
		s.want("publish", err, errdef.ErrUnsupported)
		return
	}
	if err != nil || !where.Addr().IsLoopback() || where.Port() == 0 {
		s.Fatalf("published at %v, %v", where, err)
	}
	_, err = s.Publish(s.ctx, port)
	s.want("the same port again", err, errdef.ErrExists)
	if err := s.Unpublish(s.ctx, network.TCP, 8080); err != nil {
		s.Error(err)
	}
	s.want("unpublish what is not published", s.Unpublish(s.ctx, network.TCP, 8080), errdef.ErrNotFound)
	again, err := s.Publish(s.ctx, network.PublishedPort{Protocol: network.TCP, GuestPort: 8080, HostPort: where.Port()})
	if err != nil || again != where {
		s.Errorf("published again at %v, not %v, %v", again, where, err)
	}
}

func capturing(s *networkSession) {
	g := s.attach(s.layout())
	var file lockedFile
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	done := make(chan error, 1)
	const limit = 4000
	go func() { done <- s.Capture(ctx, network.Capture{MaxBytes: limit}, &file) }()
	if !s.can(network.CapPcap) {
		s.want("capture", <-done, errdef.ErrUnsupported)
		return
	}
	for ended := false; !ended; { // it ends by itself when the file is full
		g.Send(wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP})
		select {
		case err := <-done:
			if err != nil {
				s.Error(err)
			}
			ended = true
		case <-s.ctx.Done():
			s.Fatal("the capture does not end")
		default:
		}
	}
	b := file.bytes()
	magics := [][]byte{{0xd4, 0xc3, 0xb2, 0xa1}, {0x4d, 0x3c, 0xb2, 0xa1}, {0xa1, 0xb2, 0xc3, 0xd4}, {0xa1, 0xb2, 0x3c, 0x4d}}
	if len(b) < 24 || len(b) > limit || !slices.ContainsFunc(magics, func(m []byte) bool { return bytes.Equal(m, b[:4]) }) {
		s.Errorf("%d bytes, which begin with % x", len(b), b[:min(len(b), 24)])
	}
}

// lockedFile is written by one goroutine and read by another.
type lockedFile struct {
	mu sync.Mutex
	b  []byte
}

func (f *lockedFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.b = append(f.b, p...)
	return len(p), nil
}

func (f *lockedFile) bytes() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.Clone(f.b)
}

var networkLinkCases = []networkCase{
	{"a device may come back", func(s *networkSession) {
		g := s.attach(s.layout())
		for range 3 {
			g.Close()
			g = wiretest.Connect(s.T, g.Attached, 1, link.NetFeatures)
			g.Send(wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP})
		}
	}},
	{"a device asks for too many lanes", func(s *networkSession) {
		attached, err := s.Attach(s.ctx, s.layout())
		if err != nil {
			s.Fatal(err)
		}
		l, err := link.Dial(s.ctx, attached.SocketPath, link.Ask{Purpose: link.Frames, Lanes: link.MaxLanes, Features: link.NetFeatures})
		if err == nil {
			l.Close()
			s.Error("it got them")
		}
		wiretest.Connect(s.T, attached, 1, link.NetFeatures) // and one that asks rightly is served
	}},
	{"a device asks for something else", func(s *networkSession) {
		attached, err := s.Attach(s.ctx, s.layout())
		if err != nil {
			s.Fatal(err)
		}
		l, err := link.Dial(s.ctx, attached.SocketPath, link.Ask{Purpose: link.Requests, Lanes: 1})
		if err == nil {
			l.Close()
			s.Error("a network serves files")
		}
	}},
	{"hostile frames", func(s *networkSession) {
		g := s.attach(s.layout())
		for n := range 64 {
			g.Send(wiretest.Raw(bytes.Repeat([]byte{0xff}, n+1)))
			frame := append(wiretest.Ether(wiretest.GuestMAC, wiretest.GatewayMAC, 0x0800), bytes.Repeat([]byte{0x45}, n)...)
			g.Send(wiretest.Raw(frame))
			g.SendFrame(0, link.NetHeader{Flags: 0xff, GSOType: byte(n), GSOSize: 1, ChecksumStart: 0xffff, ChecksumOffset: 0xffff, HeaderLen: 0xffff}, frame)
		}
		if err := g.Link.Err(); err != nil {
			s.Errorf("the link is down: %v", err)
		}
		if _, err := s.Stats(s.ctx); err != nil {
			s.Errorf("the network is gone: %v", err)
		}
	}},
	{"a driver resets", func(s *networkSession) {
		g := s.attach(s.layout())
		for _, f := range []link.Features{0, link.NetFeatures, link.FeatureGuestChecksum, link.NetFeatures} {
			g.Reset(f)
			g.Send(wiretest.ARP{SenderIP: wiretest.GuestIP, TargetIP: wiretest.GatewayIP})
		}
	}},
}
