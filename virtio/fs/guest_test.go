//go:build linux

package fs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ringSize = 64
	inRoom   = 16 << 10
	outRoom  = 16 << 10

	opRead = 15 // an operation like any other
)

// setup says what a test's device and share are like. The zero value has one request queue and 64 credits a lane.
type setup struct {
	queues   int
	credits  uint32
	ringSize uint32
	payload  uint32
	drain    time.Duration
}

// guest is a kernel's file system driver, reduced to messages.
type guest struct {
	t      testing.TB
	set    setup
	dev    *Device
	drv    *virtiotest.MMIODriver
	plugin *link.Link
	events chan event
	queues []*queue
	unique uint64
}

type event struct {
	up  bool
	why error
}

// queue is the driver's side of one.
type queue struct {
	g     *guest
	ring  *virtiotest.Ring
	at    uint64 // of slots of inRoom and outRoom
	slots map[uint16]int
	free  []int
}

func (s setup) terms() link.Terms {
	return link.Terms{Purpose: link.Requests, RingSize: s.ringSize, Credits: s.credits, MaxPayload: s.payload}
}

func (s setup) newDevice(t testing.TB, onLink func(bool, error)) (*Device, *link.Link) {
	t.Helper()
	device, plugin := virtiotest.NewLink(t, s.terms(), Ask(s.queues))
	return s.over(t, device, onLink), plugin
}

// over makes the device over a link.
func (s setup) over(t testing.TB, l *link.Link, onLink func(bool, error)) *Device {
	t.Helper()
	dev, err := New(Config{
		Tag: "share", Queues: s.queues, Link: l, OnLink: onLink, Drain: s.drain, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dev.Close() })
	return dev
}

func boot(t testing.TB, s setup) *guest {
	t.Helper()
	g := &guest{t: t, set: s, events: make(chan event, 64)}
	g.dev, g.plugin = s.newDevice(t, g.onLink)
	g.begin()
	return g
}

func (g *guest) onLink(up bool, why error) { g.events <- event{up, why} }

// begin gives the guest memory and starts the device.
func (g *guest) begin() {
	g.t.Helper()
	n := 1 + max(g.set.queues, 1)
	g.drv = virtiotest.NewMMIODriver(g.t, g.dev, virtiotest.NewMemory(g.t, n*(4<<20)))
	g.start()
}

// start initializes the device from the beginning.
func (g *guest) start() {
	g.t.Helper()
	rings := g.drv.Start(virtiotest.AllFeatures, ringSize)
	if g.queues == nil {
		for _, r := range rings {
			g.queues = append(g.queues, &queue{g: g, ring: r, at: g.drv.Mem.Alloc(ringSize * (inRoom + outRoom))})
		}
	}
	for _, q := range g.queues {
		q.slots, q.free = make(map[uint16]int), q.free[:0]
		for i := range ringSize {
			q.free = append(q.free, i)
		}
	}
}

// request returns a message with the next number.
func (g *guest) request(op uint32, body string) []byte {
	g.unique++
	b := make([]byte, inHeaderSize, inHeaderSize+len(body))
	binary.LittleEndian.PutUint32(b[0:], uint32(inHeaderSize+len(body)))
	binary.LittleEndian.PutUint32(b[4:], op)
	binary.LittleEndian.PutUint64(b[8:], g.unique)
	return append(b, body...)
}

// replyTo returns a reply to a request.
func replyTo(request []byte, errno syscall.Errno, body string) []byte {
	b := make([]byte, outHeaderSize, outHeaderSize+len(body))
	binary.LittleEndian.PutUint32(b[0:], uint32(outHeaderSize+len(body)))
	binary.LittleEndian.PutUint32(b[4:], uint32(-int32(errno)))
	copy(b[8:], request[8:16])
	return append(b, body...)
}

// send makes a message available with room for a reply, and returns its head. The message is cut at the given offsets.
func (q *queue) send(message []byte, room int, cuts ...int) uint16 {
	q.g.t.Helper()
	head := q.add(message, room, cuts...)
	q.ring.Publish()
	return head
}

func (q *queue) add(message []byte, room int, cuts ...int) uint16 {
	q.g.t.Helper()
	if len(q.free) == 0 {
		q.g.t.Fatal("too many requests at once")
	}
	slot := q.free[0]
	at := q.in(slot)
	copy(q.g.drv.Mem.At(at, len(message)), message)
	var bufs []virtiotest.Buffer
	from := 0
	for _, to := range append(cuts, len(message)) {
		if to > from {
			bufs = append(bufs, virtiotest.Buffer{Addr: at + uint64(from), Len: to - from})
			from = to
		}
	}
	// The header of a reply stands apart, as Linux has it.
	for _, n := range []int{min(room, outHeaderSize), room - outHeaderSize} {
		if n > 0 {
			bufs = append(bufs, virtiotest.Buffer{Addr: at + inRoom, Len: n, Write: true})
			at += uint64(n)
		}
	}
	clear(q.g.drv.Mem.At(q.in(slot)+inRoom, outRoom))
	head, ok := q.ring.Add(bufs...)
	if !ok {
		q.g.t.Fatal("the ring is full")
	}
	q.free = q.free[1:]
	q.slots[head] = slot
	return head
}

func (q *queue) in(slot int) uint64 { return q.at + uint64(slot*(inRoom+outRoom)) }

// wait returns what the device has written to the next chain that it has used.
func (q *queue) wait() (head uint16, reply []byte) {
	q.g.t.Helper()
	head, n := q.ring.Wait()
	return head, q.taken(head, n)
}

func (q *queue) taken(head uint16, n int) []byte {
	q.g.t.Helper()
	slot, ok := q.slots[head]
	if !ok {
		q.g.t.Fatalf("the device used head %d, which it was not given", head)
	}
	delete(q.slots, head)
	q.free = append(q.free, slot)
	return bytes.Clone(q.g.drv.Mem.At(q.in(slot)+inRoom, n))
}

// want waits for the answer to head.
func (q *queue) want(head uint16, want []byte) {
	q.g.t.Helper()
	got, reply := q.wait()
	if got != head || !bytes.Equal(reply, want) {
		q.g.t.Fatalf("head %d was answered with % x, want head %d with % x", got, reply, head, want)
	}
}

// next waits for the plugin's next record on a lane, without those that begin an epoch. Its payload is a copy.
func (g *guest) next(lane int) link.Record {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), virtiotest.Patience)
	defer cancel()
	in := g.plugin.Lane(lane).In
	for rec := (link.Record{}); ; {
		ok, err := in.Next(&rec)
		if err == nil && !ok {
			err = in.Wait(ctx)
		}
		if err != nil {
			g.t.Fatal(err)
		}
		if ok && rec.Kind != link.KindEpoch {
			rec.Payload = bytes.Clone(rec.Payload)
			in.Release()
			return rec
		}
	}
}

// wantRecord demands that the next record is that message.
func (g *guest) wantRecord(lane int, kind link.Kind, message []byte) link.Record {
	g.t.Helper()
	rec := g.next(lane)
	if rec.Kind != kind || !bytes.Equal(rec.Payload, message) {
		g.t.Fatalf("record of kind %d: % x, want %d: % x", rec.Kind, rec.Payload, kind, message)
	}
	return rec
}

// answer sends the plugin's reply.
func (g *guest) answer(lane int, tag link.Tag, reply []byte) {
	g.t.Helper()
	out := g.plugin.Lane(lane).Out
	buf, err := out.TryReserve(link.KindReply, len(reply))
	if err != nil {
		g.t.Fatal(err)
	}
	copy(buf, reply)
	out.CommitReply(tag, len(reply))
	if err := out.Publish(); err != nil {
		g.t.Fatal(err)
	}
}

// wantAlive demands that requests are answered.
func (g *guest) wantAlive() {
	g.t.Helper()
	for i, q := range g.queues {
		m := g.request(opRead, "are you there?")
		head := q.send(m, 100)
		rec := g.wantRecord(i, link.KindRequest, m)
		r := replyTo(m, 0, "yes")
		g.answer(i, rec.Tag, r)
		q.want(head, r)
	}
}

func (g *guest) relink() {
	g.t.Helper()
	device, plugin := virtiotest.NewLink(g.t, g.set.terms(), g.dev.Ask())
	g.plugin = plugin
	if err := g.dev.Relink(device); err != nil {
		g.t.Fatal(err)
	}
}

func (g *guest) wantEvent(up bool, why error) {
	g.t.Helper()
	e := <-g.events
	if e.up != up || !errors.Is(e.why, why) {
		g.t.Fatalf("link event %+v, want %v, %v", e, up, why)
	}
}

func (g *guest) needsReset() bool {
	return g.drv.Get(virtiotest.RegStatus)&virtiotest.StatusNeedsReset != 0
}
