//go:build linux

package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/fdpass"
)

// Terms are what a plugin offers. Zero values but that of Purpose stand for the defaults.
type Terms struct {
	Purpose Purpose
	// MaxLanes bounds how many lanes a device may ask for; default MaxLanes.
	MaxLanes int
	// RingSize is the size of each ring in bytes, a power of two; default 2 MiB for frames, 4 MiB for requests.
	RingSize uint32
	// MaxPayload bounds a record, at most half a ring; default a 64 KiB frame, or a 1 MiB request.
	MaxPayload uint32
	// Credits bounds the requests in flight on each lane; default 64. Frames have none.
	Credits uint32
	// Features are the offloads that the plugin knows.
	Features Features
}

func (t Terms) withDefaults() Terms {
	d := Terms{RingSize: 2 << 20, MaxPayload: 64<<10 + 256}
	if t.Purpose == Requests {
		d = Terms{RingSize: 4 << 20, MaxPayload: 1<<20 + 4096, Credits: 64}
	}
	if t.MaxLanes == 0 {
		t.MaxLanes = MaxLanes
	}
	if t.RingSize == 0 {
		t.RingSize = d.RingSize
	}
	if t.MaxPayload == 0 {
		t.MaxPayload = min(d.MaxPayload, maxPayloadOf(t.RingSize))
	}
	if t.Credits == 0 {
		t.Credits = d.Credits
	}
	return t
}

func (t Terms) check() error {
	if err := checkCredits(t.Purpose, t.Credits); err != nil {
		return err
	}
	return geometry{lanes: t.MaxLanes, ringSize: t.RingSize, maxPayload: t.MaxPayload}.check()
}

// Listener is a plugin's socket, at which a device fetches a link.
type Listener struct {
	l     *net.UnixListener
	terms Terms
}

// Listen makes a socket at path, which must not exist, for processes of the same user.
func Listen(path string, terms Terms) (*Listener, error) {
	terms = terms.withDefaults()
	if err := terms.check(); err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	l, err := fdpass.Listen("unixpacket", path)
	if err != nil {
		return nil, fmt.Errorf("link socket: %w", err)
	}
	return &Listener{l: l, terms: terms}, nil
}

// Accept waits for a device and makes the link that it asks for. It may be called again, for a device that dials again
// and after an error that concerns one device. Once Close was called, it returns net.ErrClosed. Only one Accept runs at
// a time.
func (l *Listener) Accept(ctx context.Context) (*Link, error) {
	stop := context.AfterFunc(ctx, func() { _ = l.l.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		conn, err := l.l.AcceptUnix()
		switch {
		case err == nil:
			return Offer(ctx, conn, l.terms)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fmt.Errorf("link socket: %w", err)
		}
		// The deadline is left from an earlier context.
		_ = l.l.SetDeadline(time.Time{})
	}
}

// Close removes the socket and ends Accept. Links stay up.
func (l *Listener) Close() error { return l.l.Close() }

// Offer is the plugin's side of the handshake on a connected SOCK_SEQPACKET socket, which it takes over, also when it
// fails.
func Offer(ctx context.Context, conn *net.UnixConn, terms Terms) (*Link, error) {
	var l *Link
	err := during(ctx, conn, func() (err error) {
		l, err = makeOffer(conn, terms.withDefaults())
		return err
	})
	if err != nil {
		if l != nil {
			l.Close()
		}
		_ = conn.Close()
		return nil, fmt.Errorf("link handshake: %w", err)
	}
	l.watch.Go(l.watchPeer)
	return l, nil
}

func makeOffer(conn *net.UnixConn, terms Terms) (*Link, error) {
	if err := errors.Join(terms.check(), checkSocket(conn), fdpass.CheckPeer(conn, os.Getuid())); err != nil {
		return nil, err
	}
	msg, _, err := receive(conn, helloSize, 0)
	if err != nil {
		return nil, err
	}
	h, err := parseHello(msg)
	if err != nil {
		return nil, err
	}
	if err := terms.admit(h); err != nil {
		_ = fdpass.Send(conn, encodeRefusal(err.Error()))
		return nil, err
	}
	l, err := newOffered(conn, terms, h)
	if err != nil {
		_ = fdpass.Send(conn, encodeRefusal("no memory or descriptors for the link"))
		return nil, err
	}
	msg, _, err = receive(conn, acceptSize, 0)
	if err != nil {
		return l, err
	}
	return l, checkMessage(msg, acceptSize)
}

// admit judges what a device asks for.
func (t Terms) admit(h hello) error {
	switch {
	case h.version != version:
		return fmt.Errorf("the device speaks version %d of the link, and this end version %d", h.version, version)
	case h.purpose != t.Purpose:
		return fmt.Errorf("the device asks for %v (%d), and this is a link of %v", h.purpose, h.purpose, t.Purpose)
	case h.lanes == 0 || h.lanes > uint32(t.MaxLanes):
		return fmt.Errorf("the device asks for %d lanes, and there are 1 to %d", h.lanes, t.MaxLanes)
	}
	return nil
}

// newOffered makes memory and events and sends them.
func newOffered(conn *net.UnixConn, terms Terms, h hello) (l *Link, err error) {
	s := settled{
		purpose: terms.Purpose, credits: terms.Credits, features: terms.Features & h.features, epoch: h.epoch,
		geo: geometry{lanes: int(h.lanes), ringSize: terms.RingSize, maxPayload: terms.MaxPayload},
	}
	fd, mem, err := createMemory(s.geo.size())
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var events []*event
	defer func() {
		if err != nil {
			_ = unix.Munmap(mem)
			closeEvents(events)
		}
	}()
	fds := []int{fd}
	for range s.geo.lanes * eventsPerLane {
		e, err := newEvent()
		if err != nil {
			return nil, err
		}
		events = append(events, e)
		e.fd(func(fd uintptr) { fds = append(fds, int(fd)) })
	}
	if err := prepareWaits(events, false); err != nil {
		return nil, err
	}
	for i := range s.geo.lanes {
		up, down := s.geo.rings(mem, i)
		up.init()
		down.init()
	}
	o := offer{
		lanes: h.lanes, ringSize: s.geo.ringSize, maxPayload: s.geo.maxPayload, credits: s.credits, features: s.features,
	}
	if err := fdpass.Send(conn, o.encode(), fds...); err != nil {
		return nil, err
	}
	return assemble(s, conn, mem, events), nil
}

func closeEvents(events []*event) {
	for _, e := range events {
		e.close()
	}
}
