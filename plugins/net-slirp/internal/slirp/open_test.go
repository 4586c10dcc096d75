package slirp

import (
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/wiretest"
)

// blackHole returns an address on the host's loopback that does not answer: a listener whose queue is full, since the kernel then
// drops what knocks.
func blackHole(t testing.TB) net.Addr {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: sa.(*unix.SockaddrInet4).Port}
	for range 2 { // what the queue takes
		knock, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(knock) })
		_ = unix.Connect(knock, sa)
	}
	return addr
}

func TestBlackHolesDoNotHoldUpOthers(t *testing.T) {
	hole := blackHole(t)
	l := listen(t)
	w := newWorld(t, hole, l.Addr())
	const dead = 400 // more than one destination is allowed
	for range dead {
		w.Open(at(0))
	}
	c := w.Dial(at(1))
	accept(t, l)
	c.Send("x")
	c.ExpectAck()
	if n := w.stat("tcp.too_many_dials"); n == 0 {
		t.Error("one destination took as many dials as it liked")
	}
	w.ExpectNothing("an answer from the black hole", wiretest.IsTCP, func(p *wiretest.Packet) bool { return p.Source == at(0) })
}

func TestManyDestinationsAreDialledAtOnce(t *testing.T) {
	const holes = 4 // each has a limit of its own, and together they are more than 512
	var servers []net.Addr
	for range holes {
		servers = append(servers, blackHole(t))
	}
	l := listen(t)
	w := newWorld(t, append(servers, l.Addr())...)
	for i := range 600 {
		w.Open(at(i % holes))
	}
	w.Dial(at(holes))
	accept(t, l)
	again(t, func() bool { w.Settled(); return w.stat("tcp.flows") > 512 })
}

// A SYN that is sent again while the first one still waits does not dial again.
func TestRetransmittedSYN(t *testing.T) {
	w := newWorld(t, blackHole(t))
	c := w.Open(at(0))
	for range 5 {
		c.SYN()
	}
	again(t, func() bool { w.Settled(); return w.stat("tcp.flows") == 1 })
}

// again tries what the guest has to do again, as guests do, until it is true. Each attempt is a round trip through the plugin, so that
// no time has to be waited for.
func again(t testing.TB, attempt func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !attempt(); { // which only a hang reaches
		if time.Now().After(deadline) {
			t.Fatal("it did not come to pass")
		}
	}
}

func TestSYNFlood(t *testing.T) {
	hole := blackHole(t)
	l := listen(t)
	w := newWorld(t, hole, l.Addr())
	const flood = 10000
	for i := range flood {
		w.Send(wiretest.TCP{From: addrPort(wiretest.GuestIP, uint16(10000+i)), To: at(0), Flags: wiretest.Syn, Window: 1000})
	}
	c := w.Dial(at(1))
	accept(t, l)
	c.Send("x")
	c.ExpectAck()
	if n := w.stat("tcp.flows"); n > 1100 {
		t.Errorf("%d flows for a flood", n)
	}
}

// A guest that asks, and never completes the handshake, costs a bounded number of connections.
func TestHandshakesThatAreNeverCompleted(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	for i := range 2000 {
		w.Send(wiretest.TCP{From: addrPort(wiretest.GuestIP, uint16(10000+i)), To: at(0), Flags: wiretest.Syn, Window: 1000})
	}
	w.Settled()
	if n := w.stat("tcp.flows"); n > 300 {
		t.Errorf("%d flows to one destination", n)
	}
}

func TestDescriptorsExhausted(t *testing.T) {
	l := listen(t)
	w := newWorld(t, l.Addr())
	c := w.Dial(at(0))
	server := accept(t, l)
	free := exhaust(t)
	w.Open(at(0)).ExpectReset()
	if n := w.stat("tcp.descriptors_exhausted"); n != 1 {
		t.Errorf("%d times exhausted", n)
	}
	c.Send("what is open goes on")
	if got := read(t, server, 20); got != "what is open goes on" {
		t.Errorf("the server got %q", got)
	}
	free()
	w.Dial(at(0))
	accept(t, l)
}

// exhaust leaves the process no descriptor, until free is called.
func exhaust(t *testing.T) (free func()) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(fd), Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Dup(0); err != syscall.EMFILE {
		t.Fatalf("there is a descriptor left: %v", err)
	}
	free = sync.OnceFunc(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &was) })
	t.Cleanup(free)
	return free
}
