package tcp

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/flowlog"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/icmp"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/loop"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// Bounds.
const (
	maxOpening       = 1024 // connections that are being opened
	maxOpeningToOne  = 256  // of these, to one address and port
	dialTime         = 10 * time.Second
	nameTime         = 10 * time.Second // for the first bytes, where the policy wants a name
	timeWait         = time.Second      // nothing is lost or late on a wire of memory
	synRetries       = 3
	maxLocalSessions = 64
)

// Config is what a forwarder needs.
type Config struct {
	Stack  *stack.Stack
	NIC    tcpip.NICID
	Loop   *loop.Loop
	Policy *policy.Evaluator
	Log    *flowlog.Log
	ICMP   *icmp.Sender
	// Local are addresses that this process serves itself, in a goroutine for each connection.
	Local map[netip.AddrPort]func(net.Conn)
	// Gateway are the addresses from which the guest is called, of its families.
	Gateway []netip.Addr
	// Guest are the guest's addresses.
	Guest []netip.Addr
}

// Forwarder forwards TCP.
type Forwarder struct {
	cfg   Config
	count counters
	crew  crew // goroutines of handshakes and sessions

	mu        sync.Mutex
	closed    bool
	live      map[*flow]struct{}
	opening   map[stack.TransportEndpointID]struct{} // what netstack's forwarder has asked us about, and more
	openingTo map[netip.AddrPort]int                 // the same, counted by destination
	published map[uint16]*listener
	local     map[net.Conn]struct{}
	shaking   map[*waiter.Queue]struct{} // of handshakes that goroutines wait for
}

// New makes a forwarder and has the stack use it.
func New(cfg Config) *Forwarder {
	f := &Forwarder{
		cfg: cfg, live: make(map[*flow]struct{}), opening: make(map[stack.TransportEndpointID]struct{}), openingTo: make(map[netip.AddrPort]int),
		published: make(map[uint16]*listener), local: make(map[net.Conn]struct{}),
		shaking: make(map[*waiter.Queue]struct{}), crew: newCrew(),
	}
	setOption(cfg.Stack, tcpip.TCPTimeWaitTimeoutOption(timeWait))
	setOption(cfg.Stack, tcpip.TCPSynRetriesOption(synRetries))
	sack := tcpip.TCPSACKEnabled(true)
	setOption(cfg.Stack, sack)
	fw := tcp.NewForwarder(cfg.Stack, 0, maxOpening, f.accept)
	cfg.Stack.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		return f.handle(fw, id, pkt)
	})
	return f
}

// handle takes a segment that belongs to no connection. Too many requests, or one that was made before, are dropped here and now: each
// of the others gets a goroutine.
func (f *Forwarder) handle(fw *tcp.Forwarder, id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	flags := header.TCP(pkt.TransportHeader().Slice()).Flags()
	if flags&(header.TCPFlagSyn|header.TCPFlagAck) != header.TCPFlagSyn {
		return false
	}
	if !f.admit(id) {
		return true
	}
	if !fw.HandlePacket(id, pkt) {
		f.opened(id)
		return false
	}
	return true
}

func destination(id stack.TransportEndpointID) netip.AddrPort {
	return netip.AddrPortFrom(fromStack(id.LocalAddress), id.LocalPort)
}

// admit notes a connection that is being opened.
func (f *Forwarder) admit(id stack.TransportEndpointID) bool {
	to := destination(id)
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, again := f.opening[id]; again || f.closed {
		return false
	}
	if len(f.opening) >= maxOpening || f.openingTo[to] >= maxOpeningToOne {
		f.count.tooMany.Add(1)
		return false
	}
	f.opening[id] = struct{}{}
	f.openingTo[to]++
	return true
}

// opened forgets it, after the request is complete.
func (f *Forwarder) opened(id stack.TransportEndpointID) {
	to := destination(id)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.opening, id)
	if f.openingTo[to]--; f.openingTo[to] <= 0 {
		delete(f.openingTo, to)
	}
}

type stackOption[T any] interface {
	*T
	tcpip.SettableTransportProtocolOption
}

func setOption[T any, P stackOption[T]](s *stack.Stack, v T) {
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, P(&v)); err != nil {
		panic("netstack lacks an option that it is pinned for: " + err.String())
	}
}

// accept hands a connection that the guest asks for to the loop. Netstack calls it in a new goroutine, whose stack would have to grow for
// more.
func (f *Forwarder) accept(r *tcp.ForwarderRequest) { f.cfg.Loop.Post(arrival{f, r}) }

// arrival is a connection that is to be judged.
type arrival struct {
	f *Forwarder
	r *tcp.ForwarderRequest
}

// Run implements loop.Task.
func (a arrival) Run() { a.f.judge(a.r) }

// judge decides about a connection that the guest asks for.
func (f *Forwarder) judge(r *tcp.ForwarderRequest) {
	id := r.ID()
	asked := policy.Flow{
		Protocol: network.TCP,
		Source:   netip.AddrPortFrom(fromStack(id.RemoteAddress), id.RemotePort), Destination: netip.AddrPortFrom(fromStack(id.LocalAddress), id.LocalPort),
	}
	if serve := f.cfg.Local[asked.Destination]; serve != nil {
		f.serveLocal(r, serve)
		return
	}
	verdict := f.cfg.Policy.Decide(asked)
	if verdict.Allow || verdict.NeedsName {
		if rule, ok := f.cfg.Policy.Acquire(); !ok {
			verdict = policy.Verdict{Rule: rule}
		}
	}
	if !verdict.Allow && !verdict.NeedsName {
		f.count.denied.Add(1)
		f.cfg.Log.Denied(asked, verdict)
		r.Complete(true)
		f.opened(id)
		return
	}
	fl := &flow{f: f, asked: asked, verdict: verdict, request: r, opening: &id, fd: -1}
	if !f.remember(fl) {
		r.Complete(true)
		f.opened(id)
		f.cfg.Policy.Release()
		return
	}
	if verdict.Allow {
		fl.dial()
	} else {
		fl.awaitName()
	}
}

// remember notes a flow, unless everything is being taken down.
func (f *Forwarder) remember(fl *flow) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.live[fl] = struct{}{}
	}
	return !f.closed
}

func (f *Forwarder) forget(fl *flow) {
	f.mu.Lock()
	delete(f.live, fl)
	f.mu.Unlock()
	f.cfg.Policy.Release()
}

// Reuse makes way for a connection from an address and port whose last connection is only remembered (TIME-WAIT). Netstack lets
// listeners do that, and forwards to none.
func (f *Forwarder) Reuse(source, destination netip.AddrPort) {
	id := stack.TransportEndpointID{
		LocalAddress: toStack(destination.Addr()), LocalPort: destination.Port(), RemoteAddress: toStack(source.Addr()), RemotePort: source.Port(),
	}
	proto := header.IPv4ProtocolNumber
	if source.Addr().Is6() {
		proto = header.IPv6ProtocolNumber
	}
	ep, ok := f.cfg.Stack.FindTransportEndpoint(proto, tcp.ProtocolNumber, id, f.cfg.NIC).(*tcp.Endpoint)
	if ok && ep != nil && ep.EndpointState() == tcp.StateTimeWait {
		ep.Abort()
	}
}

// Reevaluate ends the flows that the policy now forbids and returns how many there were.
func (f *Forwarder) Reevaluate() int {
	ended := 0
	for _, fl := range f.flows() {
		if fl.reevaluate() {
			ended++
		}
	}
	return ended
}

func (f *Forwarder) flows() []*flow {
	f.mu.Lock()
	defer f.mu.Unlock()
	flows := make([]*flow, 0, len(f.live))
	for fl := range f.live {
		flows = append(flows, fl)
	}
	return flows
}

// Close ends everything. Handshakes under way end with the stack.
func (f *Forwarder) Close() {
	f.crew.close()
	f.mu.Lock()
	f.closed = true
	var ports []uint16
	for port := range f.published {
		ports = append(ports, port)
	}
	for conn := range f.local {
		_ = conn.Close()
	}
	f.mu.Unlock()
	for _, port := range ports {
		_ = f.Unpublish(port)
	}
	for _, fl := range f.flows() {
		fl.abort()
	}
}

// Wait waits for goroutines that are left, once the stack is gone. Netstack leaves some of those that complete handshakes waiting.
func (f *Forwarder) Wait() {
	ended := make(chan struct{})
	go func() {
		f.crew.ends.Wait()
		close(ended)
	}()
	for {
		f.mu.Lock()
		for wq := range f.shaking {
			wq.Notify(waiter.WritableEvents)
		}
		f.mu.Unlock()
		select {
		case <-ended:
			return
		case <-time.After(time.Millisecond): // a goroutine may not have begun to wait
		}
	}
}

// handshake completes the guest's handshake, for which it waits.
func (f *Forwarder) handshake(r *tcp.ForwarderRequest, wq *waiter.Queue) (tcpip.Endpoint, tcpip.Error) {
	f.mu.Lock()
	f.shaking[wq] = struct{}{}
	f.mu.Unlock()
	ep, err := r.CreateEndpoint(wq)
	f.mu.Lock()
	delete(f.shaking, wq)
	f.mu.Unlock()
	return ep, err
}

// serveLocal completes a handshake and hands the connection to serve.
func (f *Forwarder) serveLocal(r *tcp.ForwarderRequest, serve func(net.Conn)) {
	id := r.ID()
	goes := f.crew.goes(func() {
		var wq waiter.Queue
		ep, err := f.handshake(r, &wq)
		r.Complete(err != nil)
		f.opened(id)
		if err != nil {
			return
		}
		conn := gonet.NewTCPConn(&wq, ep)
		if !f.addLocal(conn) {
			ep.Abort()
			return
		}
		serve(conn)
		f.mu.Lock()
		delete(f.local, conn)
		f.mu.Unlock()
		_ = conn.Close()
	})
	if !goes {
		r.Complete(true)
		f.opened(id)
	}
}

// addLocal notes a session so that Close ends it, unless there are too many.
func (f *Forwarder) addLocal(conn net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.local) >= maxLocalSessions {
		return false
	}
	f.local[conn] = struct{}{}
	return true
}

func fromStack(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return addr
}

func toStack(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }
