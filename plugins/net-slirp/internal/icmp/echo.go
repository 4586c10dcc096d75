package icmp

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/flowlog"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/hostsock"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/loop"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/sdk/network"
)

const (
	maxPings   = 256
	idleTime   = 30 * time.Second
	sweepTime  = 5 * time.Second
	echoHeader = 8 // RFC 792, RFC 4443: type, code, checksum, identifier, sequence
)

// Config is what a forwarder needs.
type Config struct {
	Sender
	Loop   *loop.Loop
	Policy *policy.Evaluator
	Log    *flowlog.Log
	// Own are the addresses of the gateway and the resolver, which are answered for here.
	Own []netip.Addr
}

// Forwarder forwards echo requests.
type Forwarder struct {
	cfg     Config
	own     map[netip.Addr]bool
	scratch []byte // of the loop's goroutine, in which Ready is called

	answered, forwarded, denied, unavailable atomic.Uint64

	mu     sync.Mutex
	closed bool
	pings  map[pingKey]*ping
	sweep  *time.Timer
}

type pingKey struct {
	guest, to netip.Addr
	ident     uint16
}

// ping is a series of requests with one identifier.
type ping struct {
	f       *Forwarder
	key     pingKey
	flow    policy.Flow
	verdict policy.Verdict
	fd      int
	began   time.Time

	// under f.mu
	used           time.Time
	sent, received uint64
	sequence       uint16
}

// New makes a forwarder and has the stack use it.
func New(cfg Config) *Forwarder {
	f := &Forwarder{cfg: cfg, own: make(map[netip.Addr]bool), pings: make(map[pingKey]*ping), scratch: make([]byte, 65536)}
	for _, a := range cfg.Own {
		f.own[a] = true
	}
	f.sweep = time.AfterFunc(sweepTime, f.sweepIdle)
	cfg.Stack.SetTransportProtocolHandler(icmp.ProtocolNumber4, f.handle)
	cfg.Stack.SetTransportProtocolHandler(icmp.ProtocolNumber6, f.handle)
	return f
}

// handle takes an ICMP packet of the guest's. True keeps netstack from answering.
func (f *Forwarder) handle(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	whole := stack.PayloadSince(pkt.TransportHeader())
	defer whole.Release()
	message := whole.AsSlice()
	guest, to := fromStack(id.RemoteAddress), fromStack(id.LocalAddress)
	if len(message) < echoHeader || !intact(message, guest, to) {
		return true
	}
	h := header.ICMPv4(message)
	request := header.ICMPv4Echo
	if to.Is6() {
		request = header.ICMPv4Type(header.ICMPv6EchoRequest)
	}
	if h.Type() != request || h.Code() != 0 {
		return true
	}
	if f.own[to] {
		f.answered.Add(1)
		f.answer(message, to, guest)
		return true
	}
	f.forward(message, guest, to)
	return true
}

// answer makes a reply of a request.
func (f *Forwarder) answer(message []byte, from, guest netip.Addr) {
	reply := append([]byte(nil), message...)
	h := header.ICMPv4(reply)
	h.SetType(header.ICMPv4EchoReply)
	if guest.Is6() {
		h.SetType(header.ICMPv4Type(header.ICMPv6EchoReply))
	}
	f.cfg.send(reply, from, guest)
}

// forward sends a request to the host's network.
func (f *Forwarder) forward(message []byte, guest, to netip.Addr) {
	h := header.ICMPv4(message)
	key := pingKey{guest, to, h.Ident()}
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pings[key]
	if p == nil {
		if p = f.open(key, len(message)); p == nil {
			return
		}
	}
	if !f.cfg.Policy.Spend(len(message)) {
		return
	}
	p.used, p.sequence = time.Now(), h.Sequence()
	p.sent += uint64(len(message))
	f.forwarded.Add(1)
	// The kernel puts its own identifier and checksum in. An error that came meanwhile is told first, and the request tried again.
	for range 2 {
		if _, err := unix.Write(p.fd, message); err == nil || errors.Is(err, unix.EAGAIN) {
			return
		}
		p.tellErrors()
	}
}

// open makes a socket for a new series, if the policy and the host let it.
func (f *Forwarder) open(key pingKey, length int) *ping {
	flow := policy.Flow{Protocol: network.ICMP, Source: netip.AddrPortFrom(key.guest, 0), Destination: netip.AddrPortFrom(key.to, 0)}
	verdict := f.cfg.Policy.Decide(flow)
	p := &ping{f: f, key: key, flow: flow, verdict: verdict, began: time.Now(), used: time.Now()}
	if verdict.Allow {
		if rule, ok := f.cfg.Policy.Acquire(); !ok {
			verdict = policy.Verdict{Rule: rule}
		}
	}
	if !verdict.Allow {
		f.denied.Add(1)
		f.cfg.Log.Denied(flow, verdict)
		f.cfg.Error(Prohibited, p.quote(length))
		return nil
	}
	var err error
	if f.closed || len(f.pings) >= maxPings {
		err = unix.EMFILE
	} else if p.fd, err = hostsock.DialPing(key.to); err == nil {
		if err = f.cfg.Loop.Watch(p.fd, loop.Readable, p); err != nil {
			_ = unix.Close(p.fd)
		}
	}
	if err != nil {
		f.unavailable.Add(1)
		f.cfg.Policy.Release()
		if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
			f.cfg.Error(NoHost, p.quote(length))
		}
		return nil
	}
	f.pings[key] = p
	f.cfg.Log.Opened(flow, verdict)
	return p
}

func (p *ping) quote(length int) Quote {
	q := Quote{
		Protocol: header.ICMPv4ProtocolNumber, Source: netip.AddrPortFrom(p.key.guest, p.key.ident), Destination: p.flow.Destination,
		Length: length, Echo: true, Sequence: p.sequence,
	}
	if p.key.to.Is6() {
		q.Protocol = header.ICMPv6ProtocolNumber
	}
	return q
}

// tellErrors passes on what the host has learnt.
func (p *ping) tellErrors() {
	for {
		e, ok := hostsock.NextError(p.fd)
		if !ok {
			return
		}
		p.f.cfg.Error(e, p.quote(echoHeader))
	}
}

// Ready implements loop.Watcher: replies have come, or errors.
func (p *ping) Ready(events uint32) {
	f := p.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pings[p.key] != p {
		return
	}
	if events&loop.Failed != 0 {
		p.tellErrors()
	}
	for {
		n, err := unix.Read(p.fd, f.scratch)
		if err != nil || n < echoHeader {
			return
		}
		reply := append([]byte(nil), f.scratch[:n]...)
		if !f.cfg.Policy.Spend(n) {
			continue
		}
		header.ICMPv4(reply).SetIdent(p.key.ident)
		p.used = time.Now()
		p.received += uint64(n)
		f.cfg.send(reply, p.key.to, p.key.guest)
	}
}

// end closes a series; f.mu is held.
func (p *ping) end() {
	delete(p.f.pings, p.key)
	p.f.cfg.Loop.Forget(p.fd)
	_ = unix.Close(p.fd)
	p.f.cfg.Policy.Release()
	p.f.cfg.Log.Closed(p.flow, p.verdict, p.sent, p.received, time.Since(p.began))
}

func (f *Forwarder) sweepIdle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	for _, p := range f.pings {
		if time.Since(p.used) > idleTime {
			p.end()
		}
	}
	f.sweep.Reset(sweepTime)
}

// Reevaluate ends what the policy now forbids, and returns how much that was.
func (f *Forwarder) Reevaluate() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	ended := 0
	for _, p := range f.pings {
		if v := f.cfg.Policy.Recheck(p.flow, p.verdict); !v.Allow {
			f.cfg.Log.Denied(p.flow, v)
			p.end()
			ended++
		}
	}
	return ended
}

// Close ends everything.
func (f *Forwarder) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.sweep.Stop()
	for _, p := range f.pings {
		p.end()
	}
}

// Stats adds the forwarder's counters to s.
func (f *Forwarder) Stats(s map[string]uint64) {
	s["icmp.answered"], s["icmp.forwarded"], s["icmp.denied"] = f.answered.Load(), f.forwarded.Load(), f.denied.Load()
	s["icmp.no_ping_socket"] = f.unavailable.Load()
}

// intact verifies the checksum, which the card has not done for a message that came in fragments.
func intact(message []byte, from, to netip.Addr) bool {
	initial := uint16(0)
	if to.Is6() {
		initial = header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, toStack(from), toStack(to), uint16(len(message)))
	}
	return checksum.Checksum(message, initial) == 0xffff
}
