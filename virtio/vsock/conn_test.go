//go:build linux

package vsock

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

func TestGuestConnects(t *testing.T) {
	transports(t, func(t *testing.T, start func(Config) *guest) {
		g := start(Config{})
		l := g.listenHost(5000)
		c := g.guestDials(l, 1000, 5000)

		g.send(g.packet(opData, 1000, 5000), []byte("from the guest"))
		wantRead(t, c, "from the guest")
		if _, err := io.WriteString(c, "from the host"); err != nil {
			t.Fatal(err)
		}
		if p := g.expect(opData, 1000, 5000); string(p.data) != "from the host" {
			t.Errorf("guest got %q", p.data)
		}
	})
}

func TestHostConnects(t *testing.T) {
	transports(t, func(t *testing.T, start func(Config) *guest) {
		g := start(Config{})
		c, host := g.hostDials(1234)
		g.send(g.packet(opData, 1234, host), []byte("hello"))
		wantRead(t, c, "hello")
	})
}

func TestHostConnectsBeforeTheGuestIsThere(t *testing.T) {
	g := newGuest(t, Config{})
	c := g.command("CONNECT 1234\nat once")
	g.fillRX()
	g.lend()
	p := g.next()
	if p.op != opRequest {
		t.Fatalf("got operation %d", p.op)
	}
	g.send(g.packet(opResponse, 1234, p.srcPort), nil)
	wantRead(t, c, fmt.Sprintf("OK %d\n", p.srcPort))
	if p := g.expect(opData, 1234, p.srcPort); string(p.data) != "at once" {
		t.Errorf("guest got %q", p.data)
	}
}

func TestRefusals(t *testing.T) {
	g := startGuest(t, Config{}, true)
	t.Run("by the guest", func(t *testing.T) {
		c := g.command("CONNECT 1\n")
		p := g.next()
		g.send(g.packet(opReset, 1, p.srcPort), nil)
		wantEOF(t, c)
	})
	t.Run("no host program", func(t *testing.T) {
		g.send(g.packet(opRequest, 1000, 4000), nil)
		g.expect(opReset, 1000, 4000)
	})
	t.Run("the guest changes its mind", func(t *testing.T) {
		g.send(g.packet(opRequest, 1000, 4000), nil)
		g.expect(opReset, 1000, 4000)
		g.send(g.packet(opReset, 1000, 4000), nil)
		g.expectNothing()
	})
}

// The guest shuts down sending: the host program reads what was sent and then EOF, and may still answer.
func TestGuestHalfCloses(t *testing.T) {
	transports(t, func(t *testing.T, start func(Config) *guest) {
		g := start(Config{})
		c := g.guestDials(g.listenHost(5000), 1000, 5000)
		g.send(g.packet(opData, 1000, 5000), []byte("last words"))
		h := g.packet(opShutdown, 1000, 5000)
		h.flags = shutSend
		g.send(h, nil)
		if b, err := io.ReadAll(c); err != nil || string(b) != "last words" {
			t.Fatalf("host read %q, %v", b, err)
		}
		if _, err := io.WriteString(c, "answer"); err != nil {
			t.Fatal(err)
		}
		if p := g.expect(opData, 1000, 5000); string(p.data) != "answer" {
			t.Errorf("guest got %q", p.data)
		}
		_ = c.Close()
		for flags := uint32(0); flags != shutBoth; {
			flags |= g.expect(opShutdown, 1000, 5000).flags
		}
		g.send(g.packet(opReset, 1000, 5000), nil)
		g.expectNothing()
	})
}

// The host program shuts down sending: the guest gets what was sent, then SHUTDOWN, and may still answer.
func TestHostHalfCloses(t *testing.T) {
	transports(t, func(t *testing.T, start func(Config) *guest) {
		g := start(Config{})
		c, host := g.hostDials(1234)
		if _, err := io.WriteString(c, "question"); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if p := g.expect(opData, 1234, host); string(p.data) != "question" {
			t.Errorf("guest got %q", p.data)
		}
		if p := g.expect(opShutdown, 1234, host); p.flags != shutSend {
			t.Fatalf("shutdown of %d, want %d", p.flags, shutSend)
		}
		g.send(g.packet(opData, 1234, host), []byte("answer"))
		wantRead(t, c, "answer")

		// The guest closes: both directions at once, answered by a reset.
		h := g.packet(opShutdown, 1234, host)
		h.flags = shutBoth
		g.send(h, nil)
		g.expect(opReset, 1234, host)
		wantEOF(t, c)
	})
}

// A host program that has half-closed and then goes away altogether is noticed, though nobody reads or writes.
func TestHostClosesTheRest(t *testing.T) {
	g := startGuest(t, Config{}, true)
	c, host := g.hostDials(1234)
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	g.expect(opShutdown, 1234, host)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if p := g.expect(opShutdown, 1234, host); p.flags != shutBoth {
		t.Errorf("shutdown of %d, want %d", p.flags, shutBoth)
	}
}

// The guest will read no more: host writers see it, and the other direction goes on.
func TestGuestStopsReading(t *testing.T) {
	g := startGuest(t, Config{}, true)
	c := g.guestDials(g.listenHost(5000), 1000, 5000)
	h := g.packet(opShutdown, 1000, 5000)
	h.flags = shutReceive
	g.send(h, nil)
	g.send(g.packet(opData, 1000, 5000), []byte("still here"))
	wantRead(t, c, "still here")
	if _, err := io.WriteString(c, "unwanted"); !errors.Is(err, unix.EPIPE) {
		t.Errorf("write = %v, want EPIPE", err)
	}
	g.expectNothing()
}

// The host program will read no more: the guest is told, its data is dropped, and the other direction goes on.
func TestHostStopsReading(t *testing.T) {
	g := startGuest(t, Config{}, true)
	c := g.guestDials(g.listenHost(5000), 1000, 5000)
	if err := c.CloseRead(); err != nil {
		t.Fatal(err)
	}
	g.send(g.packet(opData, 1000, 5000), []byte("unheard"))
	if p := g.expect(opShutdown, 1000, 5000); p.flags != shutReceive {
		t.Fatalf("shutdown of %d, want %d", p.flags, shutReceive)
	}
	g.send(g.packet(opData, 1000, 5000), []byte("unheard, sent before the shutdown arrived"))
	if _, err := io.WriteString(c, "still here"); err != nil {
		t.Fatal(err)
	}
	if p := g.expect(opData, 1000, 5000); string(p.data) != "still here" {
		t.Errorf("guest got %q", p.data)
	}
}

// A guest that closes before the host program has read gives up nothing, and its ports are free at once.
func TestClosedConnectionIsDelivered(t *testing.T) {
	g := startGuest(t, Config{}, true)
	l := g.listenHost(5000)
	c := g.guestDials(l, 1000, 5000)
	want := sendAll(g, 1000, 5000, 2<<20)
	h := g.packet(opShutdown, 1000, 5000)
	h.flags = shutBoth
	g.send(h, nil)
	g.expect(opReset, 1000, 5000)

	again := g.guestDials(l, 1000, 5000)
	g.send(g.packet(opData, 1000, 5000), []byte("another"))
	wantRead(t, again, "another")

	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
		t.Errorf("host read %d bytes, %v; want %d", len(got), err, len(want))
	}
}

// sendAll sends as much as the guest has credit for without the host reading, up to n bytes, and returns it.
func sendAll(g *guest, guestPort, hostPort uint32, n int) []byte {
	g.t.Helper()
	var sent []byte
	window, forwarded := uint32(minWindow), uint32(0)
	for len(sent) < n && uint32(len(sent))-forwarded < window {
		room := int(min(window-(uint32(len(sent))-forwarded), txRoom))
		chunk := pattern(len(sent), min(room, n-len(sent)))
		g.send(g.packet(opData, guestPort, hostPort), chunk)
		sent = append(sent, chunk...)
		g.send(g.packet(opCreditRequest, guestPort, hostPort), nil)
		g.drainTX()
		p := g.expect(opCreditUpdate, guestPort, hostPort)
		window, forwarded = p.bufAlloc, p.fwdCnt
	}
	return sent
}

// pattern returns n bytes of a stream from offset on.
func pattern(offset, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		at := offset + i
		b[i] = byte(at ^ at>>8 ^ at>>16)
	}
	return b
}

func TestCreditOfTheGuestIsKept(t *testing.T) {
	transports(t, func(t *testing.T, start func(Config) *guest) {
		g := start(Config{})
		c := g.command("CONNECT 7\n")
		host := g.next().srcPort
		h := g.packet(opResponse, 7, host)
		h.bufAlloc = 1000
		g.send(h, nil)
		readLine(t, c)
		want := pattern(0, 5000)
		if _, err := c.Write(want); err != nil {
			t.Fatal(err)
		}
		var got []byte
		for forwarded := uint32(0); len(got) < len(want); {
			for len(got) < int(forwarded)+1000 && len(got) < len(want) {
				got = append(got, g.expect(opData, 7, host).data...)
			}
			if len(got) > int(forwarded)+1000 {
				t.Fatalf("%d bytes for a credit of %d", len(got), forwarded+1000)
			}
			if len(got) == len(want) {
				break
			}
			g.expect(opCreditRequest, 7, host)
			g.expectNothing()
			forwarded = uint32(len(got))
			h := g.packet(opCreditUpdate, 7, host)
			h.bufAlloc, h.fwdCnt = 1000, forwarded
			g.send(h, nil)
		}
		if !bytes.Equal(got, want) {
			t.Error("the bytes differ")
		}
	})
}

// A guest may shrink its buffer below what is in it: that is no credit at all, not a huge one.
func TestCreditMayShrink(t *testing.T) {
	g := startGuest(t, Config{}, true)
	c, host := g.hostDials(7)
	if _, err := c.Write(pattern(0, 4000)); err != nil {
		t.Fatal(err)
	}
	g.expect(opData, 7, host)
	h := g.packet(opCreditUpdate, 7, host)
	h.bufAlloc = 100
	g.send(h, nil)
	g.drainTX()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	g.expect(opCreditRequest, 7, host)
	g.expectNothing()
}

func TestCreditForTheGuest(t *testing.T) {
	transports(t, func(t *testing.T, start func(Config) *guest) {
		g := start(Config{MaxBuffered: 8 << 20})
		c := g.guestDials(g.listenHost(5000), 1000, 5000)
		want := sendAll(g, 1000, 5000, 64<<20)
		if n := g.buffered(); n > 2*maxWindow {
			t.Errorf("%d bytes are buffered for a window of %d", n, maxWindow)
		}
		// Nothing is lost, and the guest is told when there is room again.
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("the bytes differ, %v", err)
		}
		for {
			if p := g.expect(opCreditUpdate, 1000, 5000); int(p.fwdCnt) > len(want)-int(p.bufAlloc)/2 {
				break
			}
		}
		g.send(g.packet(opData, 1000, 5000), []byte("more"))
		wantRead(t, c, "more")
	})
}

// buffered returns how many bytes of the guest the device holds, in the sizes of its buffers.
func (g *guest) buffered() (n int) {
	g.dev.mu.Lock()
	defer g.dev.mu.Unlock()
	for c := range g.dev.live {
		n += cap(c.pending)
	}
	return n
}

func TestDataWithoutCreditIsReset(t *testing.T) {
	g := startGuest(t, Config{}, true)
	l := g.listenHost(5000)
	t.Run("first packet", func(t *testing.T) {
		c := g.guestDials(l, 1000, 5000)
		g.send(g.packet(opData, 1000, 5000), pattern(0, minWindow+1))
		g.expect(opReset, 1000, 5000)
		wantEOF(t, c)
	})
	// The host program does not read, so the window fills at some point; what came before is delivered.
	t.Run("full window", func(t *testing.T) {
		c := g.guestDials(l, 1001, 5000)
		sent := len(sendAll(g, 1001, 5000, 64<<20))
		at := sent
		for range 2 * maxWindow / txRoom {
			g.send(g.packet(opData, 1001, 5000), pattern(at, txRoom))
			at += txRoom
		}
		g.expect(opReset, 1001, 5000)
		got, err := io.ReadAll(c)
		if err != nil || len(got) < sent || !bytes.Equal(got, pattern(0, len(got))) {
			t.Errorf("host read %d bytes, %v; want at least the %d that were allowed", len(got), err, sent)
		}
	})
}
