package slirp

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/jail"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

func TestPublishedTCP(t *testing.T) {
	w := newWorld(t)
	where, err := w.net.Publish(t.Context(), network.PublishedPort{Protocol: network.TCP, GuestPort: 8080})
	if err != nil || !where.Addr().IsLoopback() {
		t.Fatalf("published at %v, %v", where, err)
	}
	client, err := net.Dial("tcp", where.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c := serve(w, 8080)
	write(t, client, "hello")
	if got := c.ExpectBytes(5); got != "hello" {
		t.Errorf("the guest got %q", got)
	}
	c.Send("world")
	if got := read(t, client, 5); got != "world" {
		t.Errorf("the client got %q", got)
	}

	if _, err := w.net.Publish(t.Context(), network.PublishedPort{Protocol: network.TCP, GuestPort: 8080}); !errors.Is(err, errdef.ErrExists) {
		t.Errorf("published twice: %v", err)
	}
	if err := w.net.Unpublish(t.Context(), network.TCP, 8080); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", where.String()); err == nil {
		t.Error("the port is still there")
	}
	if err := w.net.Unpublish(t.Context(), network.TCP, 8080); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("unpublished twice: %v", err)
	}
	c.Send("goes on") // a connection outlives the port
	if got := read(t, client, 7); got != "goes on" {
		t.Errorf("the client got %q", got)
	}
}

// serve completes a handshake that the plugin begins.
func serve(w *world, port uint16) *wiretest.Conn {
	w.T.Helper()
	p := w.Expect("a SYN", wiretest.HasFlags(wiretest.Syn), func(p *wiretest.Packet) bool { return p.Dest == addrPort(wiretest.GuestIP, port) })
	if p.Source.Addr() != wiretest.GatewayIP {
		w.T.Errorf("the client appears as %v", p.Source)
	}
	c := &wiretest.Conn{G: w.Guest, Local: p.Dest, Remote: p.Source, Next: 5000, Seen: p.Seq + 1, Window: 65535}
	w.Send(c.Segment(wiretest.Syn|wiretest.Ack, ""))
	c.Next++
	w.Expect("its acknowledgement", wiretest.Between(c.Remote, c.Local), wiretest.HasFlags(wiretest.Ack), func(p *wiretest.Packet) bool { return p.Flags&wiretest.Syn == 0 })
	return c
}

func TestGuestRefusesAClient(t *testing.T) {
	w := newWorld(t)
	where, err := w.net.Publish(t.Context(), network.PublishedPort{Protocol: network.TCP, GuestPort: 8080})
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", where.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p := w.Expect("a SYN", wiretest.HasFlags(wiretest.Syn))
	w.Send(wiretest.TCP{From: p.Dest, To: p.Source, Ack: p.Seq + 1, Flags: wiretest.Rst | wiretest.Ack})
	if n, err := client.Read(make([]byte, 1)); err == nil {
		t.Errorf("the client read %d bytes", n)
	}
}

// collect gathers events until stop is called.
func collect(t *testing.T, w *world) (next func(kind network.EventKind) network.Event) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	events := make(chan network.Event, 100)
	ended := make(chan struct{})
	watch := w.net.att.log.Watch()
	go func() {
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-watch.C():
				events <- e
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended; watch.Close() })
	return func(kind network.EventKind) network.Event {
		t.Helper()
		for e := range events {
			if e.Kind == kind {
				return e
			}
		}
		return network.Event{}
	}
}

func TestEventsOfAFlow(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	next := collect(t, w)
	c := w.Dial(at(0))
	server := accept(t, l)
	c.Send("12345")
	read(t, server, 5)
	write(t, server, "123")
	c.ExpectBytes(3)
	c.Fin()
	_ = server.Close()
	opened, closed := next(network.Opened), next(network.Closed)
	if opened.Source != c.Local.String() || opened.Destination != at(0).String() || opened.Protocol != network.TCP || opened.Rule == "" {
		t.Errorf("opened: %+v", opened)
	}
	if closed.Sent != 5 || closed.Received != 3 || closed.Duration <= 0 || closed.Source != opened.Source {
		t.Errorf("closed: %+v", closed)
	}
	w.Open(addrPort(testNet, 80)).ExpectReset()
	if denied := next(network.Denied); denied.Destination != addrPort(testNet, 80).String() || denied.Rule == "" {
		t.Errorf("denied: %+v", denied)
	}
	w.Send(martian("127.0.0.1"))
	if denied := next(network.Denied); denied.Destination != "127.0.0.1:80" || denied.Rule == "" {
		t.Errorf("denied: %+v", denied)
	}
}

func TestSlowWatcherLearnsWhatItLost(t *testing.T) {
	w := newWorld(t)
	watch := w.net.att.log.Watch()
	defer watch.Close()
	for range 3000 {
		w.Send(martian("127.0.0.1"))
	}
	w.Settled()
	if lost := watch.Lost(); lost+uint64(len(watch.C())) != 3000 || lost == 0 {
		t.Errorf("%d lost and %d kept", lost, len(watch.C()))
	}
}

// A policy that forbids a flow ends it.
func TestPolicyIsReplaced(t *testing.T) {
	host, spec := hostServer(t)
	l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := newWorldWith(t, spec)
	to := l.Addr().(*net.TCPAddr).AddrPort()
	c := w.Dial(to)
	server := accept(t, l)
	c.Send("x")
	read(t, server, 1)
	if n, err := w.net.UpdatePolicy(t.Context(), spec.Policy); n != 0 || err != nil {
		t.Fatalf("the same policy reset %d, %v", n, err)
	}
	n, err := w.net.UpdatePolicy(t.Context(), network.Policy{})
	if n != 1 || err != nil {
		t.Errorf("reset %d, %v", n, err)
	}
	c.ExpectReset()
	if n, err := server.Read(make([]byte, 1)); err == nil {
		t.Errorf("the server read %d bytes", n)
	}
	w.Open(to).ExpectReset()
}

func TestCapture(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	ctx, cancel := context.WithCancel(t.Context())
	file := newLockedBuffer()
	done := make(chan error, 1)
	go func() { done <- w.net.Capture(ctx, network.Capture{SnapLength: 60}, file) }()
	file.await(t, 24)
	if err := w.net.Capture(t.Context(), network.Capture{}, file); !errors.Is(err, errdef.ErrState) {
		t.Errorf("a second capture: %v", err)
	}
	c := w.Dial(at(0))
	accept(t, l)
	c.Send("0123456789012345678901234567890123456789")
	c.ExpectAck()
	// SYN, SYN-ACK, ACK, the bytes and their ACK at least
	file.await(t, 24+5*(16+54))
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	checkPcap(t, file.bytes(), 60)
}

func TestCaptureHasACap(t *testing.T) {
	w := newWorld(t)
	file := newLockedBuffer()
	done := make(chan error, 1)
	const limit = 1000
	go func() { done <- w.net.Capture(t.Context(), network.Capture{MaxBytes: limit}, file) }()
	again(t, func() bool {
		w.Settled()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return true
		default:
			return false
		}
	})
	if n := file.len(); n > limit || n < limit-100 {
		t.Errorf("%d bytes", n)
	}
	checkPcap(t, file.bytes(), 1<<20)
}

// checkPcap reads a file record by record.
func checkPcap(t *testing.T, b []byte, snap uint32) {
	t.Helper()
	if len(b) < 24 || binary.LittleEndian.Uint32(b) != 0xa1b23c4d || binary.LittleEndian.Uint32(b[20:]) != 1 {
		t.Fatalf("header % x", b[:min(24, len(b))])
	}
	records := 0
	for b = b[24:]; len(b) > 0; records++ {
		kept, whole := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
		if kept > snap || kept > whole || len(b) < int(16+kept) {
			t.Fatalf("record %d keeps %d bytes of %d, and %d are left", records, kept, whole, len(b))
		}
		b = b[16+kept:]
	}
	if records == 0 {
		t.Error("no records")
	}
}

func TestSecondAttachmentIsRefused(t *testing.T) {
	w := newWorld(t)
	if _, err := w.net.Attach(t.Context(), wiretest.Layout()); !errors.Is(err, errdef.ErrState) {
		t.Errorf("error %v", err)
	}
}

func TestAttachmentsThatMakeNoSense(t *testing.T) {
	for name, spoil := range map[string]func(*network.Attachment){
		"no guest address":     func(a *network.Attachment) { a.Guest = nil },
		"no gateway":           func(a *network.Attachment) { a.Gateway = nil },
		"tiny MTU":             func(a *network.Attachment) { a.MTU = 40 },
		"IPv6 on a small wire": func(a *network.Attachment) { a.MTU = 576 },
		"service to a name":    func(a *network.Attachment) { a.Services = []network.Service{{TCPAddress: "localhost"}} },
		"a policy that cannot be enforced": func(a *network.Attachment) {
			a.Policy.Rules = []network.Rule{{Origin: "agent.hcl:3", Action: network.Allow, Domain: "a.example", Protocols: []network.Protocol{network.UDP}}}
		},
		"port that is taken": func(a *network.Attachment) {
			l := listen(t)
			a.Published = []network.PublishedPort{{Protocol: network.TCP, GuestPort: 1, HostPort: uint16(l.Addr().(*net.TCPAddr).Port)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := wiretest.Layout()
			spoil(&a)
			if _, err := newNetwork(t).Attach(t.Context(), a); err == nil {
				t.Error("no error")
			}
		})
	}
}

// A network that cannot confine itself has no guest: nobody could say then what a broken stack may do.
func TestAttachmentWithoutAJail(t *testing.T) {
	n := newNetwork(t)
	n.opt.Confine = func(jail.Grants) error { return unix.EPERM }
	if _, err := n.Attach(t.Context(), wiretest.Layout()); !errors.Is(err, errdef.ErrUnavailable) || !errors.Is(err, unix.EPERM) {
		t.Errorf("error %v", err)
	}
	if left, _ := os.ReadDir(n.opt.RuntimeDir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := n.Stats(t.Context()); !errors.Is(err, errdef.ErrState) {
		t.Errorf("there is a guest: %v", err)
	}
}

// Who watches hears of the flows that end with the attachment, and only then that there is no more.
func TestTheEndIsWatched(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	begun, opened, watched := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var events []network.Event
	go func() {
		watched <- w.net.Watch(t.Context(), func(e network.Event) error {
			switch events = append(events, e); e.Kind {
			case network.Watching:
				close(begun)
			case network.Opened:
				close(opened)
			}
			return nil
		})
	}()
	<-begun
	c := w.Dial(at(0))
	server := accept(t, l)
	c.Send("12345")
	read(t, server, 5)
	<-opened
	if err := w.net.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-watched; err != nil {
		t.Error(err)
	}
	if n := len(events); n != 3 || events[0].Kind != network.Watching || events[2].Kind != network.Closed || events[2].Sent != 5 {
		t.Errorf("events %+v", events)
	}
	if err := w.net.Watch(t.Context(), func(network.Event) error { return nil }); !errors.Is(err, errdef.ErrState) {
		t.Errorf("watched after the end: %v", err)
	}
}
