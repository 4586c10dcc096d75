//go:build linux

package net

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ringSize = 64
	txRoom   = 72 << 10
)

var testMAC = [6]byte{0x52, 0x54, 0, 0x12, 0x34, 0x56}

// setup says what a test's guest, device and network are like. The zero value is a device of one pair, with everything that can
// be negotiated, in a guest with mergeable buffers of 2 KiB.
type setup struct {
	pairs    int
	mtu      int
	knows    link.Features // of the plugin; 0 means all
	ringSize uint32
	features uint64 // of the driver; 0 means all
	without  uint64 // but for these
	rxRoom   int    // bytes of a receive buffer; 0 means 2048
	rxBufs   int    // receive buffers a pair at the start; 0 means ringSize, less than 0 none
}

// guest is a kernel's network driver, reduced to frames.
type guest struct {
	t      testing.TB
	set    setup
	dev    *Device
	drv    *virtiotest.MMIODriver
	plugin *link.Link
	events chan event
	pairs  []*pair
	agreed link.Features // as the plugin was told
}

type event struct {
	up  bool
	why error
}

// pair is the driver's side of a queue pair.
type pair struct {
	g          *guest
	rx, tx     *virtiotest.Ring
	rxAt, txAt uint64
	rxSlot     map[uint16]int
	txSlot     map[uint16]int
	txFree     []int
	fill       int // the next receive buffer
}

func (s setup) terms() link.Terms {
	knows := s.knows
	if knows == 0 {
		knows = link.NetFeatures
	}
	return link.Terms{Purpose: link.Frames, RingSize: s.ringSize, Features: knows}
}

// newDevice makes a device over one end of a link, and returns the other.
func (s setup) newDevice(t testing.TB, onLink func(bool, error)) (*Device, *link.Link) {
	t.Helper()
	device, plugin := virtiotest.NewLink(t, s.terms(), Ask(s.pairs))
	dev, err := New(Config{
		MAC: testMAC, MTU: s.mtu, Pairs: s.pairs, Link: device, OnLink: onLink, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dev.Close() })
	return dev, plugin
}

// boot makes a guest and lets its driver start the device.
func boot(t testing.TB, s setup) *guest {
	t.Helper()
	g := &guest{t: t, set: s, events: make(chan event, 64)}
	g.dev, g.plugin = s.newDevice(t, func(up bool, why error) { g.events <- event{up, why} })
	pairs := max(s.pairs, 1)
	g.drv = virtiotest.NewMMIODriver(t, g.dev, virtiotest.NewMemory(t, pairs*(16<<20)))
	g.start()
	return g
}

// start initializes the device from the beginning.
func (g *guest) start() {
	g.t.Helper()
	features := g.set.features
	if features == 0 {
		features = virtiotest.AllFeatures
	}
	rings := g.drv.Start(features&^g.set.without, ringSize)
	if g.pairs == nil {
		for i := range max(g.set.pairs, 1) {
			p := &pair{g: g, rx: rings[receiveQueue(i)], tx: rings[transmitQueue(i)]}
			p.rxAt, p.txAt = g.drv.Mem.Alloc(ringSize*g.rxRoom()), g.drv.Mem.Alloc(ringSize*txRoom)
			g.pairs = append(g.pairs, p)
		}
	}
	for _, p := range g.pairs {
		p.rxSlot, p.txSlot, p.fill = make(map[uint16]int), make(map[uint16]int), 0
		p.txFree = p.txFree[:0]
		for i := range ringSize {
			p.txFree = append(p.txFree, i)
		}
		n := g.set.rxBufs
		if n == 0 {
			n = ringSize
		}
		p.offer(n)
	}
	g.agreed = g.epoch()
}

// epoch lets the plugin read, on every lane, that an epoch begins. What it sends before is passed over.
func (g *guest) epoch() (features link.Features) {
	g.t.Helper()
	for i := range g.plugin.Lanes() {
		for {
			rec := g.record(i)
			if rec.Kind == link.KindEpoch {
				features = rec.Features
				break
			}
		}
		g.plugin.Lane(i).In.Release()
	}
	return features
}

func (g *guest) rxRoom() int {
	if g.set.rxRoom == 0 {
		return 2048
	}
	return g.set.rxRoom
}

// offer makes n more receive buffers available.
func (p *pair) offer(n int) {
	p.g.t.Helper()
	room := p.g.rxRoom()
	for range n {
		i := p.fill % ringSize
		p.fill++
		head, ok := p.rx.Add(virtiotest.Buffer{Addr: p.rxAt + uint64(i*room), Len: room, Write: true})
		if !ok {
			p.g.t.Fatal("the receive ring is full")
		}
		p.rxSlot[head] = i
	}
	p.rx.Publish()
}

// send transmits a packet, header and frame as they are, in descriptors that are cut at the given offsets.
func (p *pair) send(packet []byte, cuts ...int) {
	p.g.t.Helper()
	p.reap()
	for len(p.txFree) == 0 {
		p.done(p.tx.Wait())
	}
	if !p.add(packet, cuts...) {
		p.g.t.Fatal("the transmit ring is full")
	}
	p.tx.Publish()
}

// add queues a packet where there is a free slot.
func (p *pair) add(packet []byte, cuts ...int) bool {
	if len(p.txFree) == 0 {
		return false
	}
	slot := p.txFree[0]
	at := p.txAt + uint64(slot*txRoom)
	copy(p.g.drv.Mem.At(at, len(packet)), packet)
	var bufs []virtiotest.Buffer
	from := 0
	for _, to := range append(cuts, len(packet)) {
		bufs = append(bufs, virtiotest.Buffer{Addr: at + uint64(from), Len: to - from})
		from = to
	}
	head, ok := p.tx.Add(bufs...)
	if !ok {
		return false
	}
	p.txFree = p.txFree[1:]
	p.txSlot[head] = slot
	return true
}

func (p *pair) reap() {
	for {
		head, n, ok := p.tx.Reap()
		if !ok {
			return
		}
		p.done(head, n)
	}
}

func (p *pair) done(head uint16, n int) {
	if n != 0 {
		p.g.t.Errorf("the device has written %d bytes to a transmit chain", n)
	}
	p.txFree = append(p.txFree, p.txSlot[head])
	delete(p.txSlot, head)
}

// drain waits until the device has taken everything.
func (p *pair) drain() {
	p.g.t.Helper()
	for len(p.txSlot) > 0 {
		p.done(p.tx.Wait())
	}
}

// frame is one with its header.
type frame struct {
	net  link.NetHeader
	data []byte
}

func (f frame) packet() []byte {
	h := f.net.Bytes()
	return append(h[:], f.data...)
}

// receive takes the next frame, and offers the buffers again.
func (p *pair) receive() frame {
	p.g.t.Helper()
	f, n := p.take()
	p.offer(n)
	return f
}

// take returns the next frame and how many buffers it came in.
func (p *pair) take() (f frame, buffers int) {
	p.g.t.Helper()
	for {
		head, n := p.rx.Wait()
		slot, ok := p.rxSlot[head]
		if !ok {
			p.g.t.Fatalf("the device used head %d, which it was not given", head)
		}
		delete(p.rxSlot, head)
		b := p.g.drv.Mem.At(p.rxAt+uint64(slot*p.g.rxRoom()), n)
		if buffers == 0 {
			if n < headerSize {
				p.g.t.Fatalf("the first buffer of a frame has %d bytes", n)
			}
			f.net = link.ParseNetHeader([headerSize]byte(b))
			b = b[headerSize:]
		}
		f.data = append(f.data, b...)
		buffers++
		if buffers >= int(f.net.NumBuffers) {
			return f, buffers
		}
	}
}

// next takes the next frame that the plugin gets on a lane. Records that begin an epoch are passed over.
func (g *guest) next(lane int) frame {
	g.t.Helper()
	for {
		if rec := g.record(lane); rec.Kind == link.KindFrame {
			f := frame{rec.Net, bytes.Clone(rec.Payload)}
			g.plugin.Lane(lane).In.Release()
			return f
		}
	}
}

// record waits for the plugin's next record on a lane.
func (g *guest) record(lane int) (rec link.Record) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), virtiotest.Patience)
	defer cancel()
	for in := g.plugin.Lane(lane).In; ; {
		ok, err := in.Next(&rec)
		if ok {
			return rec
		}
		if err == nil {
			err = in.Wait(ctx)
		}
		if err != nil {
			g.t.Fatal(err)
		}
	}
}

// deliver sends frames from the plugin, and fails where the ring is full.
func (g *guest) deliver(lane int, frames ...frame) {
	g.t.Helper()
	for _, f := range frames {
		if err := g.tryDeliver(lane, f); err != nil {
			g.t.Fatal(err)
		}
	}
}

func (g *guest) tryDeliver(lane int, f frame) error {
	out := g.plugin.Lane(lane).Out
	buf, err := out.TryReserve(link.KindFrame, len(f.data))
	if err != nil {
		return err
	}
	copy(buf, f.data)
	out.CommitFrame(f.net, len(f.data))
	return out.Publish()
}

// flood sends frames from the plugin until the ring is full, and returns how many there were.
func (g *guest) flood(lane, size int) int {
	g.t.Helper()
	for i := 0; ; i++ {
		err := g.tryDeliver(lane, numbered(i, size))
		if errors.Is(err, link.ErrFull) {
			return i
		}
		if err != nil {
			g.t.Fatal(err)
		}
	}
}

// numbered is a frame of size bytes that says which it is.
func numbered(i, size int) frame {
	data := make([]byte, size)
	for at := range data {
		data[at] = byte(i + at)
	}
	binary.LittleEndian.PutUint32(data[10:], uint32(i))
	return frame{data: data}
}

func wantFrame(t testing.TB, got, want frame) {
	t.Helper()
	got.net.NumBuffers = 0
	if got.net != want.net {
		t.Fatalf("header %+v, want %+v", got.net, want.net)
	}
	if !bytes.Equal(got.data, want.data) {
		t.Fatalf("frame of %d bytes %.20x, want %d bytes %.20x", len(got.data), got.data, len(want.data), want.data)
	}
}

// wantAlive demands that frames go both ways.
func (g *guest) wantAlive() {
	g.t.Helper()
	f := numbered(1_000_000, 100)
	g.pairs[0].send(f.packet())
	wantFrame(g.t, g.next(0), f)
	g.deliver(0, f)
	wantFrame(g.t, g.pairs[0].receive(), f)
}

func (g *guest) carrier() bool { return g.drv.Get(virtiotest.RegConfig+4)>>16&statusLinkUp != 0 }

func (g *guest) wantEvent(up bool, why error) {
	g.t.Helper()
	e := <-g.events
	if e.up != up || !errors.Is(e.why, why) {
		g.t.Fatalf("link event %+v, want %v, %v", e, up, why)
	}
}

var _ virtio.Device = (*Device)(nil)
