package serve

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/mdlayher/vsock"
)

// queued is a listener of connections that are already there.
type queued struct {
	net.Listener
	conns []net.Conn
}

func (q *queued) Accept() (net.Conn, error) {
	if len(q.conns) == 0 {
		return nil, io.EOF
	}
	next := q.conns[0]
	q.conns = q.conns[1:]
	return next, nil
}

// from is a connection that says where it comes from and whether it is closed.
type from struct {
	net.Conn
	addr   net.Addr
	closed bool
}

func (f *from) RemoteAddr() net.Addr { return f.addr }
func (f *from) Close() error         { f.closed = true; return nil }

// TestOnlyTheHostMayConnect: processes of the guest itself (CID 1), other machines, and what is no vsock at all, are turned away.
func TestOnlyTheHostMayConnect(t *testing.T) {
	strangers := []*from{
		{addr: &vsock.Addr{ContextID: 1, Port: 7}},
		{addr: &vsock.Addr{ContextID: 0, Port: 7}},
		{addr: &vsock.Addr{ContextID: 3, Port: 7}},
		{addr: &vsock.Addr{ContextID: 0xffffffff, Port: 7}},
		{addr: &net.UnixAddr{Name: "@2", Net: "unix"}},
		{addr: nil},
	}
	host := &from{addr: &vsock.Addr{ContextID: 2, Port: 7}}
	var conns []net.Conn
	for _, s := range strangers {
		conns = append(conns, s)
	}
	var log bytes.Buffer
	l := HostOnly{Listener: &queued{conns: append(conns, host)}, Log: slog.New(slog.NewTextHandler(&log, nil))}
	if got, err := l.Accept(); got != net.Conn(host) || err != nil {
		t.Fatalf("accepted %v, %v", got, err)
	}
	for _, s := range strangers {
		if !s.closed {
			t.Errorf("the connection from %v was left open", s.addr)
		}
	}
	if host.closed {
		t.Error("the host's connection was closed")
	}
	if n := strings.Count(log.String(), "refused"); n != len(strangers) {
		t.Errorf("%d refusals are logged, of %d", n, len(strangers))
	}
	if _, err := l.Accept(); err != io.EOF {
		t.Errorf("the listener's own end: %v", err)
	}
}
