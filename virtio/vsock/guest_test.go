//go:build linux

package vsock

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/vhostuser"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testCID  = 42
	features = virtio.FeatureVersion1 | virtio.FeatureIndirect | virtio.FeatureEventIdx

	rxBuffers = 64
	rxRoom    = 4096
	txSlots   = 32
	txRoom    = 32 << 10
)

// guest is a guest kernel's vsock driver, reduced to packets: a test sends and receives them one by one.
type guest struct {
	t      testing.TB
	dev    *Device
	path   string
	mem    *virtiotest.Memory
	rx, tx *virtiotest.Ring
	broken chan error

	rxBase, txBase uint64
	rxAt           map[uint16]int // head -> buffer
	txAt           map[uint16]int
	txFree         []int

	front *virtiotest.FrontEnd   // nil without vhost-user
	mmio  *virtiotest.MMIODriver // nil without virtio-mmio
	event *virtiotest.Ring       // of virtio-mmio
	stop  func() []*virtio.Queue // nil unless the rings are lent directly
}

type received struct {
	header
	data []byte
}

// transports runs a test with rings that are lent in the process, through a vhost-user socket, and through virtio-mmio.
func transports(t *testing.T, test func(t *testing.T, start func(Config) *guest)) {
	t.Run("direct", func(t *testing.T) {
		test(t, func(cfg Config) *guest { return startGuest(t, cfg, true) })
	})
	t.Run("vhost-user", func(t *testing.T) {
		test(t, func(cfg Config) *guest {
			g := newGuest(t, cfg)
			g.connectFrontEnd()
			g.front.StartRing(queueRX, g.rx, 0)
			g.front.StartRing(queueTX, g.tx, 0)
			return g
		})
	})
	t.Run("mmio", func(t *testing.T) {
		test(t, func(cfg Config) *guest { return startMMIO(t, cfg) })
	})
}

// startMMIO has the guest find its device behind registers.
func startMMIO(t testing.TB, cfg Config) *guest {
	t.Helper()
	g := newGuest(t, cfg)
	g.fillRX()
	g.event = virtiotest.NewRing(t, g.mem, 16, features)
	g.mmio = virtiotest.NewMMIODriver(t, g.dev, g.mem)
	g.mmio.Negotiate(features)
	g.mmio.Rings = []*virtiotest.Ring{queueRX: g.rx, queueTX: g.tx, queueEvent: g.event}
	for i, r := range g.mmio.Rings {
		g.mmio.AddRing(i, r)
	}
	g.mmio.DriverOK()
	return g
}

// startGuest lends the rings directly. Without buffers the guest cannot receive.
func startGuest(t testing.TB, cfg Config, buffers bool) *guest {
	t.Helper()
	g := newGuest(t, cfg)
	if buffers {
		g.fillRX()
	}
	g.lend()
	return g
}

func (g *guest) lend() {
	g.stop = virtiotest.Lend(g.t, g.dev, g.mem, features, func(_ int, err error) { g.broken <- err }, g.rx, g.tx)
}

func newGuest(t testing.TB, cfg Config) *guest {
	t.Helper()
	g := &guest{
		t: t, path: filepath.Join(t.TempDir(), "vsock"),
		mem:    virtiotest.NewMemory(t, 4<<20),
		rxAt:   make(map[uint16]int),
		txAt:   make(map[uint16]int),
		broken: make(chan error, 2),
	}
	cfg.GuestCID, cfg.Path = testCID, g.path
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	dev, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	g.dev = dev
	g.rx = virtiotest.NewRing(t, g.mem, 2*rxBuffers, features)
	g.tx = virtiotest.NewRing(t, g.mem, 2*txSlots, features)
	g.rxBase, g.txBase = g.mem.Alloc(rxBuffers*2*rxRoom), g.mem.Alloc(txSlots*2*txRoom)
	for i := range txSlots {
		g.txFree = append(g.txFree, i)
	}
	return g
}

// connectFrontEnd serves the device on a vhost-user socket and negotiates, up to the memory table.
func (g *guest) connectFrontEnd() {
	g.t.Helper()
	front, back := virtiotest.NewFrontEnd(g.t)
	served := make(chan error, 1)
	go func() { served <- vhostuser.Serve(context.Background(), back, g.dev) }()
	g.t.Cleanup(func() {
		_ = front.Conn.Close()
		if err := <-served; err != nil {
			g.t.Errorf("Serve = %v", err)
		}
	})
	g.front = front
	front.Negotiate(features)
	front.SetMemory(g.mem)
	g.fillRX()
}

func (g *guest) fillRX() {
	for i := range rxBuffers {
		g.addRX(i)
	}
	g.rx.Publish()
}

// addRX offers buffer i: a header and room behind it, in two descriptors, as Linux 6.1 does it.
func (g *guest) addRX(i int) {
	at := g.rxBase + uint64(i)*2*rxRoom
	head, ok := g.rx.Add(virtiotest.Buffer{Addr: at, Len: headerSize, Write: true},
		virtiotest.Buffer{Addr: at + rxRoom, Len: rxRoom, Write: true})
	if !ok {
		g.t.Fatal("the receive ring is full")
	}
	g.rxAt[head] = i
}

// packet returns a header from the guest's port to the host's, with plenty of credit.
func (g *guest) packet(op operation, guestPort, hostPort uint32) header {
	return header{
		srcCID: testCID, dstCID: HostCID, srcPort: guestPort, dstPort: hostPort,
		kind: typeStream, op: op, bufAlloc: 256 << 10,
	}
}

// send transmits one packet; length is set to that of the payload.
func (g *guest) send(h header, payload []byte) {
	g.t.Helper()
	h.length = uint32(len(payload))
	var raw [headerSize]byte
	h.encode(&raw)
	g.sendRaw(raw[:], payload)
}

func (g *guest) sendRaw(head, payload []byte) {
	g.t.Helper()
	for {
		h, _, ok := g.tx.Reap()
		if !ok {
			break
		}
		g.freeTX(h)
	}
	if len(g.txFree) == 0 {
		h, _ := g.tx.Wait()
		g.freeTX(h)
	}
	slot := g.txFree[0]
	g.txFree = g.txFree[1:]
	at := g.txBase + uint64(slot)*2*txRoom
	copy(g.mem.At(at, len(head)), head)
	bufs := []virtiotest.Buffer{{Addr: at, Len: len(head)}}
	if len(payload) > 0 {
		copy(g.mem.At(at+txRoom, len(payload)), payload)
		bufs = append(bufs, virtiotest.Buffer{Addr: at + txRoom, Len: len(payload)})
	}
	h, ok := g.tx.Add(bufs...)
	if !ok {
		g.t.Fatal("the transmit ring is full")
	}
	g.txAt[h] = slot
	g.tx.Publish()
}

func (g *guest) freeTX(head uint16) {
	g.txFree = append(g.txFree, g.txAt[head])
	delete(g.txAt, head)
}

// drainTX waits until the device has taken all that was sent.
func (g *guest) drainTX() {
	g.t.Helper()
	for len(g.txAt) > 0 {
		h, _ := g.tx.Wait()
		g.freeTX(h)
	}
}

// next receives one packet.
func (g *guest) next() received {
	g.t.Helper()
	head, n := g.rx.Wait()
	i := g.rxAt[head]
	delete(g.rxAt, head)
	at := g.rxBase + uint64(i)*2*rxRoom
	var raw [headerSize]byte
	copy(raw[:], g.mem.At(at, headerSize))
	p := received{header: decodeHeader(&raw)}
	if p.srcCID != HostCID && p.op != opReset || p.dstCID != testCID && p.op != opReset {
		g.t.Errorf("packet from %d to %d", p.srcCID, p.dstCID)
	}
	if n != headerSize+int(p.length) {
		g.t.Errorf("a packet of %d bytes says that its payload has %d", n, p.length)
	}
	p.data = append(p.data, g.mem.At(at+rxRoom, int(p.length))...)
	g.addRX(i)
	g.rx.Publish()
	return p
}

// expect receives one packet, which must be op between the ports. Other credit updates before it are
// passed over.
func (g *guest) expect(op operation, guestPort, hostPort uint32) received {
	g.t.Helper()
	for {
		p := g.next()
		wanted := p.op == op && p.dstPort == guestPort && p.srcPort == hostPort
		if p.op == opCreditUpdate && !wanted {
			continue
		}
		if !wanted {
			g.t.Fatalf("got operation %d for %d from %d, want %d for %d from %d",
				p.op, p.dstPort, p.srcPort, op, guestPort, hostPort)
		}
		return p
	}
}

// expectNothing demands that nothing was on its way to the guest: the next packet is the answer to this one.
func (g *guest) expectNothing() {
	g.t.Helper()
	g.send(g.packet(opData, 4242, 4242), []byte("x"))
	g.expect(opReset, 4242, 4242)
}

// listenHost listens where guest connections to port arrive.
func (g *guest) listenHost(port uint32) net.Listener {
	g.t.Helper()
	l, err := net.Listen("unix", fmt.Sprintf("%s_%d", g.path, port))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = l.Close() })
	return l
}

// guestDials opens a connection from the guest and returns its host side.
func (g *guest) guestDials(l net.Listener, guestPort, hostPort uint32) *net.UnixConn {
	g.t.Helper()
	g.send(g.packet(opRequest, guestPort, hostPort), nil)
	g.expect(opResponse, guestPort, hostPort)
	c, err := l.Accept()
	if err != nil {
		g.t.Fatal(err)
	}
	return g.hostConn(c)
}

func (g *guest) hostConn(c net.Conn) *net.UnixConn {
	g.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(virtiotest.Patience))
	return c.(*net.UnixConn)
}

// command connects to the host socket and writes a line.
func (g *guest) command(line string) *net.UnixConn {
	g.t.Helper()
	c, err := net.Dial("unix", g.path)
	if err != nil {
		g.t.Fatal(err)
	}
	u := g.hostConn(c)
	if _, err := io.WriteString(u, line); err != nil {
		g.t.Fatal(err)
	}
	return u
}

// hostDials opens a connection from the host to the guest's port and returns its host port.
func (g *guest) hostDials(port uint32) (*net.UnixConn, uint32) {
	g.t.Helper()
	c := g.command(fmt.Sprintf("CONNECT %d\n", port))
	p := g.next()
	if p.op != opRequest || p.dstPort != port {
		g.t.Fatalf("got operation %d for port %d", p.op, p.dstPort)
	}
	g.send(g.packet(opResponse, port, p.srcPort), nil)
	if got, want := readLine(g.t, c), fmt.Sprintf("OK %d", p.srcPort); got != want {
		g.t.Fatalf("the host reads %q, want %q", got, want)
	}
	return c, p.srcPort
}

// readLine reads a line, and not a byte more than that.
func readLine(t testing.TB, c net.Conn) string {
	t.Helper()
	line, err := bufio.NewReaderSize(oneByte{c}, 16).ReadString('\n')
	if err != nil {
		t.Fatalf("read a line: %v", err)
	}
	return strings.TrimSuffix(line, "\n")
}

type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:1]) }

func wantRead(t testing.TB, r io.Reader, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(r, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v; want %q", b, err, want)
	}
}

func wantEOF(t testing.TB, r io.Reader) {
	t.Helper()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("read %d bytes, %v; want EOF", n, err)
	}
}
