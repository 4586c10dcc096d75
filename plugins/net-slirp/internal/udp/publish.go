package udp

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/hostsock"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/loop"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/policy"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

const (
	firstPort  = 32768 // of the gateway's, by which the guest sees clients
	maxClients = 1024  // of a published port
)

// RulePublished stands in events for the rule that let a datagram in.
const RulePublished = "builtin:published"

// listener is a published port. Each client has a port of the gateway's, so that the guest's answers find it.
type listener struct {
	f              *Forwarder
	fd             int
	local          netip.AddrPort
	guest, gateway netip.Addr
	port           uint16
	clients        map[netip.AddrPort]*flow // under f.mu
	next           uint16
}

// Publish takes datagrams of the host's for a port of the guest, and returns where.
func (f *Forwarder) Publish(at netip.AddrPort, port uint16) (netip.AddrPort, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return netip.AddrPort{}, errdef.New(errdef.ErrState, "the network is being taken down")
	}
	if l := f.published[port]; l != nil {
		return netip.AddrPort{}, errdef.New(errdef.ErrExists, "udp port %d is published already, at %v", port, l.local)
	}
	l := &listener{f: f, port: port, clients: make(map[netip.AddrPort]*flow)}
	if !l.family(at.Addr()) {
		return netip.AddrPort{}, errdef.New(errdef.ErrInvalid, "the guest has no address of the family of %v", at)
	}
	var err error
	if l.fd, l.local, err = hostsock.ListenUDP(at); err != nil {
		return netip.AddrPort{}, errdef.New(errdef.ErrUnavailable, "publish udp port %d at %v: %w", port, at, err)
	}
	if err := f.cfg.Loop.Watch(l.fd, loop.Readable, l); err != nil {
		_ = unix.Close(l.fd)
		return netip.AddrPort{}, err
	}
	f.published[port] = l
	return l.local, nil
}

// family chooses addresses of the guest and the gateway: those of the family of at, if there are any.
func (l *listener) family(at netip.Addr) bool {
	for _, same := range []bool{true, false} {
		for _, g := range l.f.cfg.Guest {
			for _, w := range l.f.cfg.Gateway {
				if g.Is4() == w.Is4() && (!same || g.Is4() == at.Is4()) {
					l.guest, l.gateway = g, w
					return true
				}
			}
		}
	}
	return false
}

// Unpublish undoes Publish, and ends the conversations.
func (f *Forwarder) Unpublish(port uint16) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.published[port]
	if l == nil {
		return errdef.New(errdef.ErrNotFound, "udp port %d is not published", port)
	}
	delete(f.published, port)
	l.close()
	return nil
}

// close ends a published port; f.mu is held.
func (l *listener) close() {
	for _, fl := range l.clients {
		l.f.end(fl)
	}
	l.f.cfg.Loop.Forget(l.fd)
	_ = unix.Close(l.fd)
	l.fd = -1
}

// Ready implements loop.Watcher: datagrams have come for the guest.
func (l *listener) Ready(uint32) {
	f := l.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for range batch {
		if l.fd < 0 {
			return
		}
		n, from, err := unix.Recvfrom(l.fd, f.scratch, 0)
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			continue
		}
		if fl := l.client(hostsock.AddrPort(from)); fl != nil {
			fl.deliver(f.scratch[:n])
		}
	}
	f.cfg.Loop.Again(l)
}

// client finds or makes the flow of a client; f.mu is held.
func (l *listener) client(from netip.AddrPort) *flow {
	if fl := l.clients[from]; fl != nil {
		return fl
	}
	p, ok := l.freePair()
	if !ok || len(l.clients) >= maxClients {
		l.f.count.full.Add(1)
		return nil
	}
	if _, ok := l.f.cfg.Policy.Acquire(); !ok {
		return nil
	}
	fl := &flow{
		f: l.f, pair: p, listener: l, client: from, began: l.f.cfg.Now(), fd: l.fd,
		asked:   policy.Flow{Protocol: network.UDP, Source: from, Destination: p.guest},
		verdict: policy.Verdict{Allow: true, Rule: RulePublished},
	}
	route, err := l.f.route(p)
	if err != nil {
		l.f.cfg.Policy.Release()
		return nil
	}
	fl.route = route
	l.clients[from] = fl
	l.f.add(fl)
	return fl
}

// freePair finds a port of the gateway's that no conversation with this port of the guest has.
func (l *listener) freePair() (pair, bool) {
	for range maxClients + 1 {
		p := pair{guest: netip.AddrPortFrom(l.guest, l.port), peer: netip.AddrPortFrom(l.gateway, firstPort+l.next%(1<<15))}
		l.next++
		if l.f.flows[p] == nil {
			return p, true
		}
	}
	return pair{}, false
}
