package tcp

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/hostsock"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/loop"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

const (
	backlog   = 128
	callTime  = 10 * time.Second
	pauseTime = 100 * time.Millisecond // before a listener without descriptors tries again
)

// RulePublished stands in events for the rule that let a connection in.
const RulePublished = "builtin:published"

// listener is a published port.
type listener struct {
	f     *Forwarder
	guest uint16
	local netip.AddrPort

	mu    sync.Mutex
	fd    int
	timer *time.Timer
}

// Publish listens on the host for connections to a port of the guest, and returns where.
func (f *Forwarder) Publish(at netip.AddrPort, guest uint16) (netip.AddrPort, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return netip.AddrPort{}, errdef.New(errdef.ErrState, "the network is being taken down")
	}
	if l := f.published[guest]; l != nil {
		return netip.AddrPort{}, errdef.New(errdef.ErrExists, "tcp port %d is published already, at %v", guest, l.local)
	}
	fd, local, err := hostsock.ListenTCP(at, backlog)
	if err != nil {
		return local, errdef.New(errdef.ErrUnavailable, "publish tcp port %d at %v: %w", guest, at, err)
	}
	l := &listener{f: f, guest: guest, local: local, fd: fd}
	if err := f.cfg.Loop.Watch(fd, loop.Readable, l); err != nil {
		_ = unix.Close(fd)
		return local, err
	}
	f.published[guest] = l
	return local, nil
}

// Unpublish undoes Publish. Connections that are open stay so.
func (f *Forwarder) Unpublish(guest uint16) error {
	f.mu.Lock()
	l := f.published[guest]
	delete(f.published, guest)
	f.mu.Unlock()
	if l == nil {
		return errdef.New(errdef.ErrNotFound, "tcp port %d is not published", guest)
	}
	l.close()
	return nil
}

func (l *listener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.f.cfg.Loop.Forget(l.fd)
	_ = unix.Close(l.fd)
	l.fd = -1
	if l.timer != nil {
		l.timer.Stop()
	}
}

// Ready implements loop.Watcher.
func (l *listener) Ready(uint32) { l.Run() }

// Run implements loop.Task: it takes all connections that wait.
func (l *listener) Run() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.fd >= 0 {
		fd, from, err := hostsock.Accept(l.fd)
		if err == nil {
			l.f.call(fd, from, l.guest)
			continue
		}
		if hostsock.Exhausted(err) {
			l.f.count.exhausted.Add(1)
			l.timer = time.AfterFunc(pauseTime, func() { l.f.cfg.Loop.Post(l) })
			return
		}
		if err == unix.EAGAIN {
			return
		}
	}
}

// call connects to the guest for a connection that came from the host.
func (f *Forwarder) call(fd int, from netip.AddrPort, port uint16) {
	guest, gateway, ok := f.family(from.Addr())
	if !ok {
		hostsock.Reset(fd)
		return
	}
	fl := &flow{
		f: f, inbound: true, state: calling, fd: -1,
		asked:   policy.Flow{Protocol: network.TCP, Source: from, Destination: netip.AddrPortFrom(guest, port)},
		verdict: policy.Verdict{Allow: true, Rule: RulePublished},
	}
	if _, ok := f.cfg.Policy.Acquire(); !ok {
		hostsock.Reset(fd)
		return
	}
	if !f.remember(fl) {
		f.cfg.Policy.Release()
		hostsock.Reset(fd)
		return
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if err := fl.watch(fd); err != nil || !fl.connect(gateway) {
		fl.finish(true)
		return
	}
	fl.after(callTime, func() { fl.finish(true) })
}

// family returns the guest's and the gateway's address of the family of from, or of the one that the guest has.
func (f *Forwarder) family(from netip.Addr) (guest, gateway netip.Addr, ok bool) {
	for _, same := range []bool{true, false} {
		for _, g := range f.cfg.Guest {
			for _, w := range f.cfg.Gateway {
				if g.Is4() == w.Is4() && (!same || g.Is4() == from.Is4()) {
					return g, w, true
				}
			}
		}
	}
	return guest, gateway, false
}

// connect begins to connect an endpoint to the guest.
func (fl *flow) connect(gateway netip.Addr) bool {
	proto, guest := header.IPv4ProtocolNumber, fl.asked.Destination
	if guest.Addr().Is6() {
		proto = header.IPv6ProtocolNumber
	}
	ep, err := fl.f.cfg.Stack.NewEndpoint(tcp.ProtocolNumber, proto, &fl.wq)
	if err != nil {
		return false
	}
	fl.adopt(ep)
	if err := ep.Bind(tcpip.FullAddress{NIC: fl.f.cfg.NIC, Addr: toStack(gateway)}); err != nil {
		return false
	}
	err = ep.Connect(tcpip.FullAddress{NIC: fl.f.cfg.NIC, Addr: toStack(guest.Addr()), Port: guest.Port()})
	_, started := err.(*tcpip.ErrConnectStarted)
	return started
}

// called looks whether the guest has answered.
func (fl *flow) called() {
	switch tcp.EndpointState(fl.ep.State()) {
	case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv, tcp.StateBound:
		return
	case tcp.StateError, tcp.StateClose:
		fl.f.count.refused.Add(1)
		fl.finish(true)
	default:
		fl.established()
	}
}
