package wiretest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// patience is what only a hang reaches.
const patience = 20 * time.Second

// Guest is the scripted guest. Its methods are for the test's goroutine.
type Guest struct {
	T        testing.TB
	Link     *link.Link
	Attached network.Attached

	packets chan *Packet
	stop    context.CancelFunc // of the goroutines that receive
	ends    sync.WaitGroup
	aside   []*Packet // came before what was expected
	port    uint16
}

// Attach attaches a guest to n and connects it, as a driver that takes all offloads.
func Attach(t testing.TB, n network.Network, a network.Attachment) *Guest {
	t.Helper()
	attached, err := n.Attach(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return Connect(t, attached, max(1, a.QueuePairs), link.NetFeatures)
}

// Connect fetches the link of an attachment for a guest whose driver takes the given offloads.
func Connect(t testing.TB, attached network.Attached, lanes int, features link.Features) *Guest {
	t.Helper()
	l, err := link.Dial(t.Context(), attached.SocketPath, link.Ask{Purpose: link.Frames, Lanes: lanes, Features: link.NetFeatures})
	if err != nil {
		t.Fatal(err)
	}
	g := &Guest{T: t, Link: l, Attached: attached, packets: make(chan *Packet, 1<<16), stop: func() {}, port: 40000}
	t.Cleanup(g.Close)
	g.Reset(features)
	return g
}

// Close unplugs the guest.
func (g *Guest) Close() {
	g.pause()
	g.Link.Close()
}

// pause ends the goroutines that receive.
func (g *Guest) pause() {
	g.stop()
	g.ends.Wait()
}

// Reset is what a driver does when it starts: a new epoch with the offloads that it accepts.
func (g *Guest) Reset(features link.Features) {
	g.T.Helper()
	g.pause() // a driver stops its queues first
	if err := g.Link.NewEpoch(features & g.Link.Features()); err != nil {
		g.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.stop = cancel
	for i := range g.Link.Lanes() {
		g.ends.Go(func() { g.receive(ctx, g.Link.Lane(i).In) })
	}
}

func (g *Guest) receive(ctx context.Context, in *link.Reader) {
	var rec link.Record
	for {
		ok, err := in.Next(&rec)
		if err == nil && !ok {
			err = in.Wait(ctx)
		}
		if err != nil {
			return
		}
		if !ok || rec.Kind != link.KindFrame {
			continue
		}
		p, err := Decode(append([]byte(nil), rec.Payload...), rec.Net)
		if err != nil {
			g.T.Errorf("the plugin sent a bad frame: %v: % x", err, p.Raw[:min(len(p.Raw), 96)])
			continue
		}
		g.packets <- p
	}
}

// Send puts messages on the wire, on lane 0.
func (g *Guest) Send(messages ...Message) {
	g.T.Helper()
	for _, m := range messages {
		g.SendFrame(0, link.NetHeader{}, m.frame())
	}
}

// Transmit puts frames on the wire with an offload header, on a lane.
func (g *Guest) Transmit(lane int, h link.NetHeader, m Message) {
	g.T.Helper()
	g.SendFrame(lane, h, m.frame())
}

// SendFrame is Transmit of bytes.
func (g *Guest) SendFrame(lane int, h link.NetHeader, frame []byte) {
	g.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out := g.Link.Lane(lane).Out
	buf, err := out.TryReserve(link.KindFrame, len(frame))
	if errors.Is(err, link.ErrFull) {
		if err = out.Wait(ctx, link.KindFrame, len(frame)); err == nil {
			buf, err = out.TryReserve(link.KindFrame, len(frame))
		}
	}
	if err != nil {
		g.T.Fatal(err)
	}
	copy(buf, frame)
	out.CommitFrame(h, len(frame))
	if err := out.Publish(); err != nil {
		g.T.Fatal(err)
	}
}

// Match tells whether a packet is what a test waits for.
type Match func(*Packet) bool

// Expect waits for a packet that all matches fit and returns it. Others are kept aside.
func (g *Guest) Expect(what string, matches ...Match) *Packet {
	g.T.Helper()
	for i, p := range g.aside {
		if fits(p, matches) {
			g.aside = append(g.aside[:i], g.aside[i+1:]...)
			return p
		}
	}
	deadline := time.After(patience)
	for {
		select {
		case p := <-g.packets:
			if fits(p, matches) {
				return p
			}
			g.aside = append(g.aside, p)
		case <-g.Link.Done():
			g.T.Fatalf("the link went down (%v) while waiting for %s", g.Link.Err(), what)
		case <-deadline:
			g.T.Fatalf("waited for %s; there came\n%s", what, g.list())
		}
	}
}

func fits(p *Packet, matches []Match) bool {
	for _, m := range matches {
		if !m(p) {
			return false
		}
	}
	return true
}

func (g *Guest) list() string {
	var b strings.Builder
	for _, p := range g.aside {
		fmt.Fprintln(&b, " ", p)
	}
	return b.String()
}

// Settled returns when everything that was sent before has been worked on as far as the plugin does that at once: it asks who has the
// gateway's address. It returns what had come until then and fits, and forgets everything else.
func (g *Guest) Settled(matches ...Match) []*Packet {
	g.T.Helper()
	g.Send(ARP{SenderIP: GuestIP, TargetIP: GatewayIP})
	g.Expect("the gateway's ARP reply", func(p *Packet) bool { return p.Kind == typeARP && p.SenderIP == GatewayIP })
	var came []*Packet
	for _, p := range g.aside {
		if fits(p, matches) {
			came = append(came, p)
		}
	}
	g.aside = nil
	return came
}

// ExpectNothing fails if something has come that fits.
func (g *Guest) ExpectNothing(what string, matches ...Match) {
	g.T.Helper()
	for _, p := range g.Settled(matches...) {
		g.T.Errorf("%s: %v", what, p)
	}
}

// Matches.

// Between fits packets from one address and port to another.
func Between(from, to netip.AddrPort) Match {
	return func(p *Packet) bool { return p.Source == from && p.Dest == to }
}

// FromAddr fits packets from an address.
func FromAddr(a netip.Addr) Match { return func(p *Packet) bool { return p.Source.Addr() == a } }

// HasFlags fits TCP segments with all of these flags.
func HasFlags(flags byte) Match {
	return func(p *Packet) bool { return p.Proto == protoTCP && p.Flags&flags == flags }
}

// IsTCP, IsUDP and IsARP fit packets of a protocol.
func IsTCP(p *Packet) bool { return p.Proto == protoTCP }

// IsUDP fits datagrams.
func IsUDP(p *Packet) bool { return p.Proto == protoUDP }

// IsARP fits ARP packets.
func IsARP(p *Packet) bool { return p.Kind == typeARP }

// IsICMP fits ICMP messages of a type and code.
func IsICMP(kind, code byte) Match {
	return func(p *Packet) bool {
		return (p.Proto == protoICMP || p.Proto == protoICMPv6) && p.ICMPType == kind && p.ICMPCode == code
	}
}
