package slirp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/internal/wiretest"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/jail"
	"github.com/voidbox-run/voidbox/sdk/network"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newNetwork returns a network that leaves the test free.
func newNetwork(t testing.TB) *Network {
	t.Helper()
	return newNetworkBy(t, nil)
}

// newNetworkBy is newNetwork by another clock.
func newNetworkBy(t testing.TB, now func() time.Time) *Network {
	t.Helper()
	dir, err := os.MkdirTemp("", "slirp") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	n := New()
	n.Configure(Options{RuntimeDir: dir, Confine: func(jail.Grants) error { return nil }, Now: now})
	t.Cleanup(func() {
		if err := n.Drain(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	return n
}

// world is a guest with its network, and servers on the host's loopback that are its services.
type world struct {
	*wiretest.Guest
	net  *Network
	spec network.Attachment
}

// servicePort is where the guest finds the first server; the next one is at the port after it.
const servicePort = 7000

func at(n int) netip.AddrPort { return netip.AddrPortFrom(wiretest.GatewayIP, servicePort+uint16(n)) }

// newWorld attaches a guest that has the given host addresses as services, in order.
func newWorld(t testing.TB, servers ...net.Addr) *world {
	t.Helper()
	return newWorldWith(t, wiretest.Layout(), servers...)
}

func newWorldWith(t testing.TB, spec network.Attachment, servers ...net.Addr) *world {
	t.Helper()
	for i, s := range servers {
		spec.Services = append(spec.Services, network.Service{Name: s.String(), Guest: at(i), TCPAddress: s.String()})
	}
	n := newNetwork(t)
	w := &world{Guest: wiretest.Attach(t, n, spec), net: n, spec: spec}
	w.Settled() // the plugin's end of the link is up a moment later than the guest's
	return w
}

func (w *world) stat(name string) uint64 {
	w.T.Helper()
	s, err := w.net.Stats(w.T.Context())
	if err != nil {
		w.T.Fatal(err)
	}
	v, ok := s[name]
	if !ok {
		w.T.Fatalf("there is no counter %s", name)
	}
	return v
}

// listen returns a listener on the host's loopback.
func listen(t testing.TB) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.(*net.TCPListener)
}

// accept takes the next connection.
func accept(t testing.TB, l net.Listener) *net.TCPConn {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// echo serves connections that send back what they get.
func echo(t testing.TB) net.Addr {
	l := listen(t)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return l.Addr()
}

func read(t testing.TB, r io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t testing.TB, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
}

func addrPort(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// heapInUse is what is left after a collection.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC() // pools keep what they have for one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

func service(guest netip.AddrPort, host net.Addr) network.Service {
	return network.Service{Name: guest.String(), Guest: guest, TCPAddress: host.String()}
}

// lockedBuffer is a buffer that is looked at while it is written.
type lockedBuffer struct {
	mu    sync.Mutex
	grown sync.Cond
	b     bytes.Buffer
}

func newLockedBuffer() *lockedBuffer {
	l := &lockedBuffer{}
	l.grown.L = &l.mu
	return l
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.grown.Broadcast()
	return l.b.Write(p)
}

// await waits for at least n bytes.
func (l *lockedBuffer) await(t testing.TB, n int) {
	t.Helper()
	hang := time.AfterFunc(time.Minute, func() { panic(fmt.Sprintf("%s: %d bytes did not come", t.Name(), n)) })
	defer hang.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.b.Len() < n {
		l.grown.Wait()
	}
}

func (l *lockedBuffer) len() int { return len(l.bytes()) }

func (l *lockedBuffer) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

// unavailable skips a test for which this machine lacks something; where tests of machines are demanded, that is a failure.
func unavailable(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("VOIDBOX_REQUIRE_VM") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format+" (with VOIDBOX_REQUIRE_VM=1 this is a failure)", args...)
}
