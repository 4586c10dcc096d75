//go:build linux

package link

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/fdpass"
)

var askOne = Ask{Purpose: Frames, Lanes: 1, Features: FeatureChecksum}

var goodOffer = offer{lanes: 1, ringSize: MinRing, maxPayload: 9000}

// parts are what an offer of goodOffer's size needs; a test spoils them.
type parts struct {
	msg    []byte
	memory int
	events []int
}

func memfd(t *testing.T, size int64, flags, seal int) int {
	t.Helper()
	fd, err := unix.MemfdCreate("test", flags|unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Ftruncate(fd, size); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seal); err != nil {
		t.Fatal(err)
	}
	return fd
}

func goodParts(t *testing.T) *parts {
	t.Helper()
	p := &parts{msg: goodOffer.encode(), memory: memfd(t, goodSize, 0, seals)}
	for range eventsPerLane {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		p.events = append(p.events, fd)
	}
	return p
}

var goodSize = geometry{lanes: 1, ringSize: MinRing}.size()

func (p *parts) fds() []int { return append([]int{p.memory}, p.events...) }

// fetchFrom dials a peer that answers a hello with p.
func fetchFrom(t *testing.T, p *parts) error {
	t.Helper()
	a, b := socketPair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = fdpass.Receive(b, make([]byte, 64), 0)
		if err := fdpass.Send(b, p.msg, p.fds()...); err != nil {
			t.Error(err)
		}
		_, _, _ = fdpass.Receive(b, make([]byte, 64), 0)
		_ = b.Close()
	}()
	l, err := Connect(testContext(t), a, askOne)
	if err == nil {
		l.Close()
	}
	<-done
	return err
}

func TestGoodOfferIsTaken(t *testing.T) {
	if err := fetchFrom(t, goodParts(t)); err != nil {
		t.Fatal(err)
	}
}

func TestHostileOffers(t *testing.T) {
	edit := func(f func(*offer)) func(*testing.T, *parts) {
		return func(_ *testing.T, p *parts) { o := goodOffer; f(&o); p.msg = o.encode() }
	}
	message := func(msg []byte) func(*testing.T, *parts) {
		return func(_ *testing.T, p *parts) { p.msg = msg }
	}
	event := func(open func(t *testing.T) int) func(*testing.T, *parts) {
		return func(t *testing.T, p *parts) { p.events[2] = open(t) }
	}
	cases := []struct {
		name string
		do   func(*testing.T, *parts)
		want string
	}{
		{"short", message(goodOffer.encode()[:offerSize-1]), "handshake"},
		{"long", message(append(goodOffer.encode(), 0)), "handshake"},
		{"very long", message(make([]byte, 5000)), "longer"},
		{"one byte", message([]byte{1}), "handshake"},
		{"noise", message(make([]byte, offerSize)), "handshake"},
		{"other version", message(func() []byte { b := goodOffer.encode(); b[4] = 2; return b }()), "version 2"},
		{"refusal with control bytes", message(encodeRefusal("no\x1b[2J")), `"no\x1b[2J"`},
		{"other lanes", edit(func(o *offer) { o.lanes = 2 }), "2 lanes"},
		{"no lanes", edit(func(o *offer) { o.lanes = 0 }), "0 lanes"},
		{"tiny ring", edit(func(o *offer) { o.ringSize = 4096 }), "ring of 4096"},
		{"huge ring", edit(func(o *offer) { o.ringSize = 1 << 31 }), "power of two"},
		{"odd ring", edit(func(o *offer) { o.ringSize = MinRing + 4096 }), "power of two"},
		{"payload over half the ring", edit(func(o *offer) { o.maxPayload = MinRing/2 - 31 }), "payloads"},
		{"no payload", edit(func(o *offer) { o.maxPayload = 0 }), "payloads"},
		{"credits for frames", edit(func(o *offer) { o.credits = 1 }), "credits"},
		{"features nobody asked for", edit(func(o *offer) { o.features = FeatureTSO4 }), "features"},
		{"ring larger than the memory", edit(func(o *offer) { o.ringSize = 2 * MinRing }), "its rings need"},
		{"memory too small", func(t *testing.T, p *parts) { p.memory = memfd(t, goodSize-4096, 0, seals) }, "its rings need"},
		{"memory empty", func(t *testing.T, p *parts) { p.memory = memfd(t, 0, 0, seals) }, "its rings need"},
		{"memory too large", func(t *testing.T, p *parts) { p.memory = memfd(t, goodSize+1, 0, seals) }, "its rings need"},
		{"memory not sealed", func(t *testing.T, p *parts) { p.memory = memfd(t, goodSize, 0, 0) }, "shrink"},
		{"memory sealed in part", func(t *testing.T, p *parts) { p.memory = memfd(t, goodSize, 0, unix.F_SEAL_GROW|unix.F_SEAL_SEAL) }, "shrink"},
		{"memory read-only", func(t *testing.T, p *parts) { p.memory = memfd(t, goodSize, 0, seals|unix.F_SEAL_WRITE) }, "map"},
		{"memory is a file", func(t *testing.T, p *parts) {
			f, err := os.Create(filepath.Join(t.TempDir(), "f"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() })
			_ = f.Truncate(goodSize)
			p.memory = int(f.Fd())
		}, "link memory"},
		{"memory is an event", func(_ *testing.T, p *parts) { p.memory = p.events[0] }, "not a memfd"},
		{"event is memory", func(_ *testing.T, p *parts) { p.events[3] = p.memory }, "not an eventfd"},
		{"event is a pipe", event(func(t *testing.T) int {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _ = r.Close(), w.Close() })
			return int(w.Fd())
		}), "not an eventfd"},
		{"event is an epoll", event(func(t *testing.T) int {
			fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Close(fd) })
			return fd
		}), "not an eventfd"},
		{"event missing", func(_ *testing.T, p *parts) { p.events = p.events[1:] }, "descriptors"},
		{"no descriptors but memory", func(_ *testing.T, p *parts) { p.events = nil }, "descriptors"},
		{"event too many", func(_ *testing.T, p *parts) { p.events = append(p.events, p.events[0]) }, "too many"},
		{"events by the hundred", func(_ *testing.T, p *parts) {
			for len(p.events) < 200 {
				p.events = append(p.events, p.events[0])
			}
		}, "too many"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := goodParts(t)
			c.do(t, p)
			before := openFDs(t)
			err := fetchFrom(t, p)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			if after := openFDs(t); after > before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

// Huge pages can be taken away under a mapping; where the kernel has them, they are refused.
func TestHugePagesAreRefused(t *testing.T) {
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_HUGETLB)
	if err != nil {
		t.Logf("this kernel has none to offer: %v", err)
		return
	}
	defer unix.Close(fd)
	const size = 2 << 20
	if err := unix.Ftruncate(fd, size); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		t.Fatal(err)
	}
	if _, err := openMemory(fd, size); err == nil || !strings.Contains(err.Error(), "ordinary pages") {
		t.Errorf("error %v", err)
	}
}

// What a peer can still do to sealed memory, by its descriptor, leaves it readable: no SIGBUS.
func TestMemoryCannotBeTakenAway(t *testing.T) {
	const size = 64 << 10
	fd, mem, err := createMemory(size)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	defer func() { _ = unix.Munmap(mem) }()
	mem[size-1] = 1
	for _, n := range []int64{0, size - 1, size + 1} {
		if err := unix.Ftruncate(fd, n); !errors.Is(err, unix.EPERM) {
			t.Errorf("truncate to %d: %v", n, err)
		}
	}
	if err := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, size); err != nil {
		t.Fatal(err)
	}
	if mem[size-1] != 0 {
		t.Error("the hole was not seen, so that the test shows nothing")
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); err == nil {
		t.Error("another seal was added")
	}
}

func TestHostileHellos(t *testing.T) {
	good := hello{version: version, purpose: Frames, lanes: 1}
	edit := func(f func(*hello)) []byte { h := good; f(&h); return h.encode() }
	cases := []struct {
		name string
		msg  []byte
		fds  []int
		want string
	}{
		{"short", good.encode()[:31], nil, "handshake"},
		{"long", append(good.encode(), 0), nil, "longer"},
		{"noise", make([]byte, helloSize), nil, "handshake"},
		{"with a descriptor", good.encode(), []int{1}, "too many"},
		{"other version", edit(func(h *hello) { h.version = 9 }), nil, "version 9"},
		{"requests of a network", edit(func(h *hello) { h.purpose = Requests }), nil, "requests"},
		{"unknown purpose", edit(func(h *hello) { h.purpose = 7 }), nil, "unknown (7)"},
		{"no lanes", edit(func(h *hello) { h.lanes = 0 }), nil, "0 lanes"},
		{"many lanes", edit(func(h *hello) { h.lanes = 5 }), nil, "5 lanes"},
		{"endless lanes", edit(func(h *hello) { h.lanes = ^uint32(0) }), nil, "lanes"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := openFDs(t)
			a, b := socketPair(t)
			if err := fdpass.Send(b, c.msg, c.fds...); err != nil {
				t.Fatal(err)
			}
			_, err := Offer(testContext(t), a, Terms{Purpose: Frames, MaxLanes: 4})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			_ = b.Close()
			if after := openFDs(t); after > before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

func TestRefusalReachesTheDevice(t *testing.T) {
	ctx := testContext(t)
	a, b := socketPair(t)
	go func() { _, _ = Offer(ctx, b, Terms{Purpose: Requests}) }()
	_, err := Connect(ctx, a, askOne)
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(refused.Reason, "requests") {
		t.Errorf("error %v", err)
	}
}

func TestHandshakeBrokenOff(t *testing.T) {
	for _, after := range []string{"connect", "hello", "wrong accept"} {
		t.Run(after, func(t *testing.T) {
			before := openFDs(t)
			a, b := socketPair(t)
			offered := make(chan error, 1)
			go func() { _, err := Offer(testContext(t), a, Terms{Purpose: Frames}); offered <- err }()
			if after != "connect" {
				_ = fdpass.Send(b, hello{version: version, purpose: Frames, lanes: 2}.encode())
				_, fds, err := fdpass.Receive(b, make([]byte, offerSize), 1+2*eventsPerLane)
				if err != nil {
					t.Fatal(err)
				}
				fdpass.CloseAll(fds)
			}
			if after == "wrong accept" {
				_ = fdpass.Send(b, []byte("accepted"))
			}
			_ = b.Close()
			if err := <-offered; err == nil {
				t.Error("the link was made")
			}
			if after := openFDs(t); after > before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

func TestSilentPeer(t *testing.T) {
	for name, shake := range map[string]func(context.Context, *net.UnixConn) error{
		"device": func(ctx context.Context, c *net.UnixConn) error { _, err := Connect(ctx, c, askOne); return err },
		"plugin": func(ctx context.Context, c *net.UnixConn) error {
			_, err := Offer(ctx, c, Terms{Purpose: Frames})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := socketPair(t)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- shake(ctx, a) }()
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestMessageAfterTheHandshake(t *testing.T) {
	device, plugin := framesPair(t)
	if _, err := device.conn.Write([]byte("and another thing")); err != nil {
		t.Fatal(err)
	}
	<-plugin.Done()
	if !errors.Is(plugin.Err(), ErrViolation) {
		t.Errorf("error %v", plugin.Err())
	}
	<-device.Done()
}

func TestBadTerms(t *testing.T) {
	for _, terms := range []Terms{
		{}, {Purpose: 9}, {Purpose: Frames, Credits: 1}, {Purpose: Requests, Credits: MaxCredits + 1},
		{Purpose: Frames, MaxLanes: MaxLanes + 1}, {Purpose: Frames, MaxLanes: -1},
		{Purpose: Frames, RingSize: 100_000}, {Purpose: Frames, RingSize: MinRing, MaxPayload: MinRing},
	} {
		path := filepath.Join(t.TempDir(), "s")
		if l, err := Listen(path, terms); err == nil {
			_ = l.Close()
			t.Errorf("%+v was accepted", terms)
		}
	}
}

func TestStreamSocketsAreRefused(t *testing.T) {
	a, b, err := fdpass.Pair(unix.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := Connect(testContext(t), a, askOne); !errors.Is(err, errNoSeqpacket) {
		t.Errorf("error %v", err)
	}
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the socket is open: %v", err)
	}
}
