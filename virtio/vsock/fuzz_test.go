//go:build linux

package vsock

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
)

// FuzzVsockPacket sends the fuzzer's packets, of 44 bytes and what their lengths say, to a device that has an open and a
// requested connection. Whatever they are: no panic, bounded answers, no more buffered than granted, and nothing is left
// after a reset.
func FuzzVsockPacket(f *testing.F) {
	encode := func(headers ...header) (b []byte) {
		for _, h := range headers {
			var raw [headerSize]byte
			h.encode(&raw)
			b = append(b, raw[:]...)
			b = append(b, make([]byte, h.length)...)
		}
		return b
	}
	base := header{srcCID: testCID, dstCID: HostCID, srcPort: 1, dstPort: 2, kind: typeStream, bufAlloc: 4096}
	with := func(op operation, length, flags uint32) header {
		h := base
		h.op, h.length, h.flags = op, length, flags
		return h
	}
	f.Add(encode(with(opData, 10, 0), with(opCreditRequest, 0, 0), with(opShutdown, 0, shutSend)))
	f.Add(encode(with(opShutdown, 0, shutReceive), with(opData, 100, 0), with(opShutdown, 0, shutSend)))
	f.Add(encode(with(opRequest, 0, 0), with(opRequest, 0, 0), with(opReset, 0, 0)))
	f.Add(encode(with(opCreditUpdate, 0, 0), with(99, 0, 0)))
	response := with(opResponse, 0, 0)
	response.srcPort, response.dstPort = 9, firstHostPort
	f.Add(encode(response, with(opData, 5, 0)))

	dir, err := os.MkdirTemp("", "fuzz")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = os.RemoveAll(dir) })
	f.Fuzz(func(t *testing.T, guest []byte) {
		g := &fuzzGuest{t: t, dev: fuzzDevice(t, filepath.Join(dir, "vsock"))}
		defer g.close()
		g.open(key{guest: 1, host: 2}, stateOpen)
		g.open(key{guest: 9, host: firstHostPort}, stateRequested)
		g.play(guest)
	})
}

// fuzzDevice is a device without a host socket.
func fuzzDevice(t *testing.T, path string) *Device {
	cfg := Config{GuestCID: testCID, Path: path, MaxConnections: 8, MaxBuffered: 1 << 20}
	if err := cfg.setDefaults(); err != nil {
		t.Fatal(err)
	}
	return newDevice(cfg)
}

type fuzzGuest struct {
	t     *testing.T
	dev   *Device
	hosts []int
}

// open adds a connection whose host side is a socket with bytes to read.
func (g *fuzzGuest) open(k key, s state) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		g.t.Fatal(err)
	}
	g.hosts = append(g.hosts, fds[1])
	file := os.NewFile(uintptr(fds[0]), "host")
	conn, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		g.t.Fatal(err)
	}
	_, _ = unix.Write(fds[1], make([]byte, 10_000))
	d := g.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.newConn(k, s)
	if err := c.setUnix(conn.(*net.UnixConn)); err != nil {
		g.t.Fatal(err)
	}
	c.readable = true
	c.schedule()
	if s == stateRequested {
		c.due |= dueRequest
		d.tasks.Go(func() {
			if c.answered() {
				c.greet()
			}
		})
	}
}

// play sends packets, and after each takes some of what the device has for the guest.
func (g *fuzzGuest) play(guest []byte) {
	tx := transmitter{d: g.dev}
	for rounds := 0; len(guest) > 0 && rounds < 100; rounds++ {
		var raw [headerSize]byte
		n := copy(raw[:], guest)
		if n == headerSize {
			n += int(min(decodeHeader(&raw).length, uint32(len(guest)-headerSize)))
		}
		tx.packet(virtio.Segments{guest[:n/2], guest[n/2 : n]})
		guest = guest[n:]
		g.receive(4)
		g.check()
	}
}

// receive does what the receive goroutine does, with a scratch buffer for the guest's.
func (g *fuzzGuest) receive(n int) {
	var in vector
	scratch := make([]byte, 4096)
	for range n {
		p := g.dev.nextPacket()
		if p.data == nil {
			continue
		}
		room := virtio.Segments{scratch[:min(p.credit, uint32(len(scratch)))]}
		n, err := in.read(p.data.raw, room)
		g.dev.hasRead(p.data, n, err, false)
	}
}

func (g *fuzzGuest) check() {
	d := g.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	reserved := 0
	for c := range d.live {
		reserved += int(c.window)
		if used := c.received - c.forwarded; used > c.window || uint32(len(c.pending)) > c.window {
			g.t.Fatalf("%d bytes are held of a window of %d", used, c.window)
		}
	}
	if reserved != d.reserved || reserved > d.cfg.MaxBuffered || len(d.live) > d.cfg.MaxConnections {
		g.t.Fatalf("%d bytes are reserved, accounted as %d, by %d connections", reserved, d.reserved, len(d.live))
	}
	if len(d.resets.headers) > d.resets.limit {
		g.t.Fatalf("%d resets wait", len(d.resets.headers))
	}
}

func (g *fuzzGuest) close() {
	for _, fd := range g.hosts {
		_ = unix.Close(fd)
	}
	d := g.dev
	d.cancel()
	d.Reset()
	d.tasks.Wait()
	if len(d.live) != 0 || len(d.conns) != 0 || d.reserved != 0 {
		g.t.Fatalf("%d connections are left, %d bytes reserved", len(d.live), d.reserved)
	}
}
