package slirp

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/wiretest"
)

// Ten thousand connections that nobody uses cost little memory each, and all of them go on when somebody does.
func TestTenThousandIdleConnections(t *testing.T) {
	const idle, perServer, each = 10_000, 2_000, 16 << 10
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < idle+500 {
		unavailable(t, "%d connections need as many descriptors: %+v, %v", idle, limit, err)
	}
	if n := longestQueue(t); n < perServer {
		unavailable(t, "connections that nobody accepts wait in queues of %d; want %d (net.core.somaxconn)", n, perServer)
	}
	// The servers accept nobody yet, so that their ends need no descriptors.
	var servers []net.Addr
	var listeners []*net.TCPListener
	for range idle / perServer {
		l := listen(t)
		listeners, servers = append(listeners, l), append(servers, l.Addr())
	}
	w := newWorld(t, servers...)
	before := heapInUse()
	var conns []*wiretest.Conn
	for i := range idle {
		conns = append(conns, w.Dial(at(i/perServer)))
	}
	if grown := int64(heapInUse()) - int64(before); grown > idle*each {
		t.Errorf("an idle connection takes %d bytes", grown/idle)
	} else {
		t.Logf("an idle connection takes %d bytes, those of the guest's side here among them", grown/idle)
	}
	for i, l := range listeners {
		c := conns[i*perServer] // the first that waits there
		host := accept(t, l)
		c.Send("still there?")
		if got := read(t, host, 12); got != "still there?" {
			t.Errorf("the server got %q", got)
		}
		write(t, host, "yes")
		if got := c.ExpectBytes(3); got != "yes" {
			t.Errorf("the guest got %q", got)
		}
	}
	if n := w.stat("tcp.flows"); n != idle {
		t.Errorf("%d connections are left", n)
	}
}

// longestQueue is how many connections may wait to be accepted.
func longestQueue(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
