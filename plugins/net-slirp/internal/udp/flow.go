package udp

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/hostsock"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/icmp"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/loop"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// flow is a conversation. One that came through a published port has the listener's socket, and a client behind it.
type flow struct {
	f        *Forwarder
	pair     pair
	asked    policy.Flow
	verdict  policy.Verdict
	listener *listener
	client   netip.AddrPort
	route    *stack.Route
	began    time.Time

	used           atomic.Int64 // nanoseconds since began
	answered       atomic.Bool
	sent, received atomic.Uint64
	length         atomic.Int32 // of the last datagram, for what is said about it

	mu sync.Mutex
	fd int // -1 once ended
}

// open makes a flow with a socket, if the policy and the host let it. f.mu is held.
func (f *Forwarder) open(p pair, length int) *flow {
	asked := policy.Flow{Protocol: network.UDP, Source: p.guest, Destination: p.peer}
	verdict := f.cfg.Policy.Decide(asked)
	if verdict.Allow {
		if rule, ok := f.cfg.Policy.Acquire(); !ok {
			verdict = policy.Verdict{Rule: rule}
		}
	}
	if !verdict.Allow {
		f.deny(asked, verdict, length)
		return nil
	}
	fl := &flow{f: f, pair: p, asked: asked, verdict: verdict, began: f.cfg.Now(), fd: -1}
	if err := f.connect(fl); err != nil {
		f.cfg.Policy.Release()
		if errors.Is(err, errOwnHost) {
			f.deny(asked, policy.Verdict{Rule: policy.RuleHost}, length)
			return nil
		}
		f.count.unreachable.Add(1)
		if hostsock.Exhausted(err) {
			f.count.exhausted.Add(1)
		}
		f.cfg.ICMP.Error(icmp.NoHost, fl.quote(length))
		return nil
	}
	f.add(fl)
	return fl
}

// errOwnHost says that a socket leads to the host itself, at an address that it got lately, and no rule allows that.
var errOwnHost = errors.New("the host's own address")

// connect makes the flow's socket.
func (f *Forwarder) connect(fl *flow) error {
	if f.closed {
		return unix.ENETDOWN
	}
	to, err := fl.target()
	if err != nil {
		return err
	}
	fd, err := hostsock.DialUDP(to)
	if err != nil {
		return err
	}
	if fl.verdict.Service == nil && hostsock.ToItself(fd, fl.pair.peer.Addr()) {
		f.cfg.Policy.NoteHost(fl.pair.peer.Addr())
		if !f.cfg.Policy.Recheck(fl.asked, fl.verdict).Allow {
			_ = unix.Close(fd)
			return errOwnHost
		}
	}
	route, rerr := f.route(fl.pair)
	if rerr != nil {
		_ = unix.Close(fd)
		return unix.EHOSTUNREACH
	}
	fl.fd, fl.route = fd, route
	if err := f.cfg.Loop.Watch(fd, loop.Readable, fl); err != nil {
		_ = unix.Close(fd)
		route.Release()
		return err
	}
	return nil
}

// target is where the flow's socket leads.
func (fl *flow) target() (netip.AddrPort, error) {
	if s := fl.verdict.Service; s != nil {
		return netip.ParseAddrPort(s.UDPAddress)
	}
	return fl.pair.peer, nil
}

// add notes a flow, in the place of the one that has been idle for longest if there are too many.
func (f *Forwarder) add(fl *flow) {
	if len(f.flows) >= maxFlows {
		var oldest *flow
		for _, other := range f.flows {
			if oldest == nil || other.idle() > oldest.idle() {
				oldest = other
			}
		}
		f.end(oldest)
	}
	f.flows[fl.pair] = fl
	f.count.opened.Add(1)
	f.cfg.Log.Opened(fl.asked, fl.verdict)
}

// end closes a flow; f.mu is held.
func (f *Forwarder) end(fl *flow) {
	delete(f.flows, fl.pair)
	fl.mu.Lock()
	if fl.listener == nil {
		f.cfg.Loop.Forget(fl.fd)
		_ = unix.Close(fl.fd)
	} else {
		delete(fl.listener.clients, fl.client)
	}
	fl.fd = -1
	fl.route.Release()
	fl.mu.Unlock()
	f.cfg.Policy.Release()
	f.count.closed.Add(1)
	f.cfg.Log.Closed(fl.asked, fl.verdict, fl.sent.Load(), fl.received.Load(), fl.age())
}

func (fl *flow) age() time.Duration { return fl.f.cfg.Now().Sub(fl.began) }

func (fl *flow) touch() { fl.used.Store(int64(fl.age())) }

func (fl *flow) idle() time.Duration { return fl.age() - time.Duration(fl.used.Load()) }

func (fl *flow) quote(length int) icmp.Quote {
	return icmp.Quote{Protocol: udp.ProtocolNumber, Source: fl.pair.guest, Destination: fl.pair.peer, Length: 8 + length}
}

// send passes a datagram of the guest's to the host.
func (fl *flow) send(payload []byte) {
	if !fl.f.cfg.Policy.Spend(len(payload)) {
		fl.f.count.limited.Add(1)
		return
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.fd < 0 {
		return
	}
	fl.touch()
	fl.length.Store(int32(len(payload)))
	// An error may be one that came for an earlier datagram: it is told, and this one tried again.
	for range 2 {
		err := fl.write(payload)
		if err == nil {
			fl.sent.Add(uint64(len(payload)))
			fl.f.count.sent.Add(1)
			return
		}
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOBUFS) {
			fl.f.count.full.Add(1)
			return
		}
		if !fl.tellErrors() {
			fl.tell(err)
			return
		}
	}
}

func (fl *flow) write(payload []byte) error {
	if fl.listener != nil {
		fl.answered.Store(true)
		return unix.Sendto(fl.fd, payload, 0, hostsock.Sockaddr(fl.client))
	}
	_, err := hostsock.Write(fl.fd, payload)
	return err
}

// tell translates an error of the host's own.
func (fl *flow) tell(err error) {
	if fl.listener != nil {
		return
	}
	e := icmp.NoHost
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		e = icmp.NoPort
	case errors.Is(err, unix.EMSGSIZE):
		e = icmp.TooLarge(hostsock.PathMTU(fl.fd, fl.pair.peer.Addr().Is6()))
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES):
		e = icmp.Prohibited
	}
	fl.f.cfg.ICMP.Error(e, fl.quote(int(fl.length.Load())))
}

// tellErrors passes on what the network said about datagrams of the flow, and tells whether there was anything.
func (fl *flow) tellErrors() bool {
	any := false
	for {
		e, ok := hostsock.NextError(fl.fd)
		if !ok {
			return any
		}
		any = true
		fl.f.cfg.ICMP.Error(e, fl.quote(int(fl.length.Load())))
	}
}

// batch is how many datagrams a flow brings before others have their turn.
const batch = 64

// Ready implements loop.Watcher: datagrams have come, or errors.
func (fl *flow) Ready(events uint32) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.fd >= 0 && events&loop.Failed != 0 {
		fl.tellErrors()
	}
	for range batch {
		if fl.fd < 0 {
			return
		}
		n, err := hostsock.Read(fl.fd, fl.f.scratch)
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			continue // it was told above, or will be with an event of its own
		}
		fl.deliver(fl.f.scratch[:n])
	}
	fl.f.cfg.Loop.Again(fl)
}

// deliver passes a datagram to the guest.
func (fl *flow) deliver(datagram []byte) {
	if !fl.f.cfg.Policy.Spend(len(datagram)) {
		fl.f.count.limited.Add(1)
		return
	}
	fl.touch()
	fl.answered.Store(true)
	fl.received.Add(uint64(len(datagram)))
	fl.f.count.received.Add(1)
	fl.f.write(fl.route, fl.pair, datagram)
}

// deny refuses a datagram.
func (f *Forwarder) deny(asked policy.Flow, v policy.Verdict, length int) {
	f.count.denied.Add(1)
	f.cfg.Log.Denied(asked, v)
	f.cfg.ICMP.Error(icmp.Prohibited, icmp.Quote{
		Protocol: udp.ProtocolNumber, Source: asked.Source, Destination: asked.Destination, Length: 8 + length,
	})
}
