//go:build linux

package vsock

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// Packets for which the guest has no connection.
func TestHostilePackets(t *testing.T) {
	g := startGuest(t, Config{}, true)
	reset := func(h header) *header {
		r := resetOf(h)
		return &r
	}
	for _, c := range []struct {
		name   string
		change func(*header)
		answer func(header) *header // nil means none
	}{
		{"another's CID", func(h *header) { h.srcCID = 43 }, nil},
		{"the host's CID", func(h *header) { h.srcCID = HostCID }, nil},
		{"to another guest", func(h *header) { h.op, h.dstCID = opRequest, 7 }, reset},
		{"to all", func(h *header) { h.op, h.dstCID = opRequest, 1<<64-1 }, reset},
		{"reset to another guest", func(h *header) { h.op, h.dstCID = opReset, 7 }, nil},
		{"seqpacket", func(h *header) { h.op, h.kind = opRequest, 2 }, reset},
		{"type 0", func(h *header) { h.op, h.kind = opRequest, 0 }, reset},
		{"data", func(h *header) { h.op = opData }, reset},
		{"response", func(h *header) { h.op = opResponse }, reset},
		{"shutdown", func(h *header) { h.op, h.flags = opShutdown, 1<<32-1 }, reset},
		{"credit update", func(h *header) { h.op = opCreditUpdate }, reset},
		{"credit request", func(h *header) { h.op = opCreditRequest }, reset},
		{"reset", func(h *header) { h.op = opReset }, nil},
		{"operation 0", func(h *header) { h.op = 0 }, reset},
		{"operation 65535", func(h *header) { h.op = 65535 }, reset},
		{"length of 4 GiB", func(h *header) { h.op, h.length = opData, 1<<32-1 }, reset},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.t = t
			h := g.packet(opData, 11, 22)
			c.change(&h)
			var raw [headerSize]byte
			h.encode(&raw)
			g.sendRaw(raw[:], nil)
			if c.answer != nil {
				if got, want := g.next().header, *c.answer(h); got != want {
					t.Errorf("answer %+v, want %+v", got, want)
				}
			}
			g.expectNothing()
		})
	}
	t.Run("no header", func(t *testing.T) {
		g.t = t
		g.sendRaw(make([]byte, headerSize-1), nil)
		g.expectNothing()
	})
}

// Packets that break an open connection: it is reset, and the host program reads EOF.
func TestHostilePacketsOnAConnection(t *testing.T) {
	g := startGuest(t, Config{}, true)
	l := g.listenHost(5000)
	for i, c := range []struct {
		name   string
		change func(*header)
	}{
		{"second request", func(h *header) { h.op = opRequest }},
		{"response", func(h *header) { h.op = opResponse }},
		{"operation 0", func(h *header) { h.op = 0 }},
		{"operation 8", func(h *header) { h.op = 8 }},
		{"longer than its buffer", func(h *header) { h.op, h.length = opData, 1 }},
		{"length of 4 GiB", func(h *header) { h.op, h.length = opData, 1<<32-1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.t = t
			port := uint32(1000 + i)
			host := g.guestDials(l, port, 5000)
			h := g.packet(opData, port, 5000)
			c.change(&h)
			var raw [headerSize]byte
			h.encode(&raw)
			g.sendRaw(raw[:], nil)
			g.expect(opReset, port, 5000)
			wantEOF(t, host)
		})
	}
	t.Run("data after shutdown", func(t *testing.T) {
		g.t = t
		host := g.guestDials(l, 2000, 5000)
		h := g.packet(opShutdown, 2000, 5000)
		h.flags = shutSend
		g.send(h, nil)
		g.send(g.packet(opData, 2000, 5000), []byte("x"))
		g.expect(opReset, 2000, 5000)
		wantEOF(t, host)
	})
	t.Run("data before the answer", func(t *testing.T) {
		g.t = t
		c := g.command("CONNECT 7\n")
		p := g.expectOp(opRequest)
		g.send(g.packet(opData, 7, p.srcPort), []byte("x"))
		g.expect(opReset, 7, p.srcPort)
		wantEOF(t, c)
	})
}

// A guest that opens more connections than are allowed is refused, and whatever it sends memory stays bounded.
func TestConnectionFlood(t *testing.T) {
	const limit = 50
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	g := startGuest(t, Config{MaxConnections: limit, MaxBuffered: 4 << 20, Logger: logger}, true)
	l := g.listenHost(5000)
	var open []uint32
	for port := uint32(1); port <= 5*limit; port++ {
		g.send(g.packet(opRequest, port, 5000), nil)
		if p := g.next(); p.op == opResponse {
			open = append(open, port)
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			g.hostConn(c)
		} else if p.op != opReset {
			t.Fatalf("got operation %d", p.op)
		}
	}
	if len(open) != limit {
		t.Errorf("%d connections, want %d", len(open), limit)
	}
	g.dev.mu.Lock() // under which the device logs
	warnings := strings.Count(log.String(), "too many")
	g.dev.mu.Unlock()
	if warnings != 1 {
		t.Errorf("%d warnings; a guest must not be able to fill the log", warnings)
	}
	// All of them send all that they have credit for; nobody reads.
	total := 0
	for _, port := range open {
		total += len(sendAll(g, port, 5000, 1<<20))
	}
	g.dev.mu.Lock()
	reserved := g.dev.reserved
	g.dev.mu.Unlock()
	if n := g.buffered(); n > 2*reserved || reserved > 4<<20 {
		t.Errorf("%d bytes buffered, %d reserved, of %d that were sent", n, reserved, total)
	}
}

// A guest that takes no packets is served all the same: transmit waits for nothing, and what is due is bounded.
func TestTransmitGoesOnWithoutReceiveBuffers(t *testing.T) {
	g := startGuest(t, Config{MaxConnections: 20}, false)
	g.addRX(0) // the only one, and never given back below
	g.rx.Publish()
	c := g.guestDials(g.listenHost(5000), 1, 5000)
	for port := range uint32(5000) {
		g.send(g.packet(opData, port+10, 9), []byte("x"))
		g.send(g.packet(opCreditRequest, 1, 5000), nil)
	}
	g.drainTX()
	g.dev.mu.Lock()
	waiting := len(g.dev.resets.headers)
	g.dev.mu.Unlock()
	if waiting > 40 {
		t.Errorf("%d resets wait", waiting)
	}

	// With buffers, what is due comes: the resets that were kept, and one answer to all of the connection's requests.
	for i := 1; i < rxBuffers; i++ {
		g.addRX(i)
	}
	g.rx.Publish()
	resets, updates := 0, 0
	count := func(p received) {
		switch p.op {
		case opReset:
			resets++
		case opCreditUpdate:
			updates++
		default:
			t.Errorf("got operation %d", p.op)
		}
	}
	for range waiting {
		count(g.next())
	}
	g.send(g.packet(opData, 4242, 4242), []byte("x"))
	for {
		p := g.next()
		if p.dstPort == 4242 {
			break
		}
		count(p)
	}
	if resets > 42 || updates == 0 || updates > 2 {
		t.Errorf("%d resets and %d credit updates for 5000 causes of each", resets, updates)
	}
	g.send(g.packet(opData, 1, 5000), []byte("alive"))
	wantRead(t, c, "alive")
}

// A guest that asks and gives up again, over and over, holds nothing.
func TestRequestAndResetFlood(t *testing.T) {
	g := startGuest(t, Config{MaxConnections: 20}, true)
	l := g.listenHost(5000)
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	defer func() { _ = l.Close(); <-accepted }()
	for range 2000 {
		g.send(g.packet(opRequest, 1, 5000), nil)
		g.send(g.packet(opReset, 1, 5000), nil)
		for { // take what comes, so that buffers are there
			head, _, ok := g.rx.Reap()
			if !ok {
				break
			}
			g.addRX(g.rxAt[head])
		}
		g.rx.Publish()
	}
	g.drainTX()
	g.dev.mu.Lock()
	defer g.dev.mu.Unlock()
	if n := len(g.dev.live); n > 20 {
		t.Errorf("%d connections are kept", n)
	}
}

func TestBrokenQueues(t *testing.T) {
	t.Run("rx buffer without room", func(t *testing.T) {
		g := startGuest(t, Config{}, false)
		g.rx.Add(virtiotest.Buffer{Addr: g.rxBase, Len: headerSize, Write: true})
		g.rx.Publish()
		g.send(g.packet(opData, 1, 2), []byte("x"))
		wantBroken(t, g)
	})
	t.Run("rx loop", func(t *testing.T) {
		g := startGuest(t, Config{}, false)
		g.rx.SetDescriptor(0, g.rxBase, 64, virtiotest.FlagNext|virtiotest.FlagWrite, 0)
		g.rx.Offer(0)
		g.send(g.packet(opData, 1, 2), []byte("x"))
		wantBroken(t, g)
	})
	t.Run("tx wild address", func(t *testing.T) {
		g := startGuest(t, Config{}, true)
		g.tx.SetDescriptor(0, 1<<60, 64, 0, 0)
		g.tx.Offer(0)
		g.tx.Notify()
		wantBroken(t, g)
	})
	t.Run("rx index jumps", func(t *testing.T) {
		g := startGuest(t, Config{}, false)
		g.rx.SetAvailIndex(2*rxBuffers + 1)
		g.send(g.packet(opData, 1, 2), []byte("x"))
		wantBroken(t, g)
	})
}

func wantBroken(t *testing.T, g *guest) {
	t.Helper()
	if err := <-g.broken; !errors.Is(err, virtio.ErrRing) {
		t.Errorf("broken: %v", err)
	}
	g.dev.Reset() // works, though a goroutine has ended early
}

func TestResetEndsConnections(t *testing.T) {
	transports(t, func(t *testing.T, start func(Config) *guest) {
		g := start(Config{})
		c := g.guestDials(g.listenHost(5000), 1000, 5000)
		refused := g.command("CONNECT 9\n")
		g.expectOp(opRequest)
		want := sendAll(g, 1000, 5000, 2<<20)
		switch {
		case g.front != nil:
			if err := g.front.Do(virtiotest.MsgResetDevice, nil); err != nil {
				t.Fatal(err)
			}
		case g.mmio != nil:
			g.mmio.Reset()
		default:
			g.dev.Reset()
		}
		// What the guest had sent before is delivered.
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
			t.Errorf("host read %d bytes, %v; want %d", len(got), err, len(want))
		}
		wantEOF(t, refused)
	})
}

// A pause takes the rings away and gives them back where they were: connections and their bytes survive. A driver that
// begins at 0 again is a new one.
func TestPauseAndRestart(t *testing.T) {
	g := newGuest(t, Config{})
	g.connectFrontEnd()
	g.front.StartRing(queueRX, g.rx, 0)
	g.front.StartRing(queueTX, g.tx, 0)
	c, host := g.hostDials(7)
	for round := range 3 {
		rx, tx := g.front.StopRing(queueRX), g.front.StopRing(queueTX)
		if rx != g.rx.UsedIndex() || tx != g.tx.UsedIndex() {
			t.Fatalf("bases %d and %d, but %d and %d chains are used", rx, tx, g.rx.UsedIndex(), g.tx.UsedIndex())
		}
		want := fmt.Sprintf("written in pause %d", round)
		if _, err := io.WriteString(c, want); err != nil {
			t.Fatal(err)
		}
		g.send(g.packet(opData, 7, host), []byte("sent in the pause"))
		g.front.StartRing(queueRX, g.rx, rx)
		g.front.StartRing(queueTX, g.tx, tx)
		if p := g.expect(opData, 7, host); string(p.data) != want {
			t.Errorf("guest got %q, want %q", p.data, want)
		}
		wantRead(t, c, "sent in the pause")
	}

	g.front.StopRing(queueRX)
	g.front.StopRing(queueTX)
	g.rx = virtiotest.NewRing(t, g.mem, 2*rxBuffers, features)
	g.tx = virtiotest.NewRing(t, g.mem, 2*txSlots, features)
	g.fillRX()
	g.front.StartRing(queueRX, g.rx, 0)
	g.front.StartRing(queueTX, g.tx, 0)
	wantEOF(t, c)
	g.hostDials(7)
}

// A guest that vanishes in the middle of everything leaves nothing waiting; goleak checks the rest.
func TestFrontEndDiesInMidFlight(t *testing.T) {
	g := newGuest(t, Config{})
	g.connectFrontEnd()
	g.front.StartRing(queueRX, g.rx, 0)
	g.front.StartRing(queueTX, g.tx, 0)
	c, _ := g.hostDials(7)
	half, _ := g.hostDials(8)
	pending := g.command("CONNECT 9\n")
	if _, err := io.WriteString(c, strings.Repeat("x", 100_000)); err != nil {
		t.Fatal(err)
	}
	_ = half.CloseWrite()
	_ = g.front.Conn.Close()
	for _, end := range []io.Reader{c, half, pending} {
		if _, err := io.ReadAll(end); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("read = %v", err)
		}
	}
}
