//go:build linux

package link

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// peer is what a hostile process has: the rings, to write what it likes.
type peer struct {
	up, down ring // of lane 0
	device   *Link
	plugin   *Link
}

func newPeer(device, plugin *Link) peer {
	return peer{up: plugin.Lane(0).In.ring, down: device.Lane(0).In.ring, device: device, plugin: plugin}
}

func put(r ring, off uint32, words ...uint64) {
	for i, w := range words {
		binary.LittleEndian.PutUint64(r.data[off+uint32(i)*8:], w)
	}
}

func frame(length, epoch uint32) []uint64 {
	h := makeHeader(KindFrame, length, epoch, 0, 0)
	return h[:]
}

func words(kind Kind, length, epoch uint32, ext0, ext1 uint64) []uint64 {
	h := makeHeader(kind, length, epoch, ext0, ext1)
	return h[:]
}

// mustBreak demands that the next look at the ring takes the link down, and nothing else.
func mustBreak(t *testing.T, r *Reader) {
	t.Helper()
	var rec Record
	for {
		ok, err := r.Next(&rec)
		if errors.Is(err, ErrViolation) {
			if rec.Payload != nil {
				t.Error("a payload came along with the violation")
			}
			break
		}
		if err != nil || !ok {
			t.Fatalf("record %v %+v, error %v; want a violation", ok, rec, err)
		}
	}
	<-r.lane.link.Done()
	if !errors.Is(r.lane.link.Err(), ErrViolation) {
		t.Errorf("the link is down for %v", r.lane.link.Err())
	}
	if _, err := r.lane.Out.TryReserve(KindFrame, 0); !errors.Is(err, ErrViolation) {
		t.Errorf("the writer says %v", err)
	}
}

func TestHostileFrames(t *testing.T) {
	const size = MinRing
	cases := []struct {
		name string
		do   func(r ring)
	}{
		{"producer one past the ring", func(r ring) { r.prod.Store(size + 16) }},
		{"producer far ahead", func(r ring) { r.prod.Store(1 << 31) }},
		{"producer behind", func(r ring) { r.prod.Store(^uint32(15)) }},
		{"producer not aligned", func(r ring) { put(r, 0, frame(0, 1)...); r.prod.Store(33) }},
		{"producer inside a header", func(r ring) { put(r, 0, frame(0, 1)...); r.prod.Store(16) }},
		{"length over what was published", func(r ring) { put(r, 0, frame(17, 1)...); r.prod.Store(48) }},
		{"length over the greatest", func(r ring) { put(r, 0, frame(9001, 1)...); r.prod.Store(size) }},
		{"length that overflows", func(r ring) { put(r, 0, frame(^uint32(0), 1)...); r.prod.Store(size) }},
		{"length that overflows when aligned", func(r ring) { put(r, 0, frame(^uint32(31), 1)...); r.prod.Store(size) }},
		{"record past the end of the ring", func(r ring) {
			off := uint32(0)
			for size-off > 9000 {
				put(r, off, frame(480, 1)...)
				off += 512
			}
			put(r, off, frame(9000, 1)...)
			r.prod.Store(size)
		}},
		{"kind 0", func(r ring) { r.prod.Store(32) }},
		{"kind unknown", func(r ring) { put(r, 0, words(99, 0, 1, 0, 0)...); r.prod.Store(32) }},
		{"kind of another link", func(r ring) { put(r, 0, words(KindReply, 0, 1, 0, 0)...); r.prod.Store(32) }},
		{"request on a link of frames", func(r ring) { put(r, 0, words(KindRequest, 0, 1, 0, 0)...); r.prod.Store(32) }},
		{"reserved flags", func(r ring) {
			w := frame(0, 1)
			w[0] |= 1 << 40
			put(r, 0, w...)
			r.prod.Store(32)
		}},
		{"reserved word", func(r ring) { put(r, 0, words(KindFrame, 0, 1, 0, 1<<32)...); r.prod.Store(32) }},
		{"epoch of the future", func(r ring) { put(r, 0, frame(0, 2)...); r.prod.Store(32) }},
		{"epoch before the first", func(r ring) { put(r, 0, frame(0, 0)...); r.prod.Store(32) }},
		{"wrap at the start", func(r ring) { putWrap(r.data); r.prod.Store(size) }},
		{"wrap twice", func(r ring) {
			put(r, 0, frame(0, 1)...)
			putWrap(r.data[32:])
			r.prod.Store(size)
			putWrap(r.data)
		}},
		{"wrap past what was published", func(r ring) { put(r, 0, frame(0, 1)...); putWrap(r.data[32:]); r.prod.Store(64) }},
		{"wrap with a length", func(r ring) {
			put(r, 0, frame(0, 1)...)
			put(r, 32, uint64(kindWrap)<<32|8, 0)
			r.prod.Store(size)
		}},
		{"record that begins 16 bytes before the end", func(r ring) {
			off := uint32(0)
			for ; off+16 < size; off += 48 {
				put(r, off, frame(16, 1)...)
			}
			put(r, size-16, uint64(KindFrame)<<32, 1)
			r.prod.Store(size)
		}},
	}
	for _, c := range cases {
		t.Run(c.name+", to the plugin", func(t *testing.T) {
			p := newPeer(framesPair(t))
			c.do(p.up)
			mustBreak(t, p.plugin.Lane(0).In)
			<-p.device.Done()
		})
		t.Run(c.name+", to the device", func(t *testing.T) {
			p := newPeer(framesPair(t))
			c.do(p.down)
			if c.name == "wrap twice" {
				// The second wrap lies at the start, where the first leads.
				var rec Record
				r := p.device.Lane(0).In
				_, _ = r.Next(&rec)
				_, _ = r.Next(&rec)
				r.Release()
				p.down.prod.Store(2 * size)
			}
			mustBreak(t, p.device.Lane(0).In)
			<-p.plugin.Done()
		})
	}
}

func TestHostileProducerGoesBack(t *testing.T) {
	p := newPeer(framesPair(t))
	put(p.up, 0, frame(0, 1)...)
	put(p.up, 32, frame(0, 1)...)
	p.up.prod.Store(64)
	var rec Record
	r := p.plugin.Lane(0).In
	mustNext(t, r, &rec)
	mustNext(t, r, &rec)
	p.up.prod.Store(32)
	mustBreak(t, r)
	if !strings.Contains(r.lane.link.Err().Error(), "went back") {
		t.Errorf("error %v", r.lane.link.Err())
	}
}

func TestHostileEpochRecords(t *testing.T) {
	cases := map[string][]uint64{
		"same again":      words(KindEpoch, 0, 1, 0, 0),
		"back":            words(KindEpoch, 0, 0, 0, 0),
		"with a payload":  words(KindEpoch, 16, 2, 0, 0),
		"new features":    words(KindEpoch, 0, 2, 1<<40, 0),
		"reserved word":   words(KindEpoch, 0, 2, 0, 1),
		"half way around": words(KindEpoch, 0, 1+1<<31, 0, 0),
	}
	for name, w := range cases {
		t.Run(name, func(t *testing.T) {
			p := newPeer(framesPair(t))
			put(p.up, 0, w...)
			p.up.prod.Store(48)
			mustBreak(t, p.plugin.Lane(0).In)
		})
	}
	t.Run("to the device", func(t *testing.T) {
		p := newPeer(framesPair(t))
		put(p.down, 0, words(KindEpoch, 0, 2, 0, 0)...)
		p.down.prod.Store(32)
		mustBreak(t, p.device.Lane(0).In)
	})
	t.Run("old after new", func(t *testing.T) {
		p := newPeer(framesPair(t))
		if err := p.device.NewEpoch(0); err != nil {
			t.Fatal(err)
		}
		put(p.down, 0, frame(0, 2)...)
		put(p.down, 32, frame(0, 1)...)
		p.down.prod.Store(64)
		mustBreak(t, p.device.Lane(0).In)
	})
}

func TestHostileConsumer(t *testing.T) {
	cases := map[string]func(published uint32) uint32{
		"ahead of the producer": func(p uint32) uint32 { return p + 16 },
		"far ahead":             func(p uint32) uint32 { return p + 1<<31 },
		"behind":                func(uint32) uint32 { return ^uint32(15) },
		"not aligned":           func(p uint32) uint32 { return p - 8 },
	}
	for name, lie := range cases {
		t.Run(name, func(t *testing.T) {
			p := newPeer(framesPair(t))
			w := p.device.Lane(0).Out
			for range 4 {
				sendFrame(t, w, NetHeader{}, make([]byte, 9000))
			}
			publish(t, w)
			p.up.cons.Store(lie(w.published))
			var err error
			for err == nil {
				_, err = w.TryReserve(KindFrame, 9000)
				if err == nil {
					w.CommitFrame(NetHeader{}, 9000)
				}
			}
			if !errors.Is(err, ErrViolation) || !errors.Is(p.device.Err(), ErrViolation) {
				t.Errorf("writer says %v, link %v", err, p.device.Err())
			}
			<-p.plugin.Done()
		})
	}
}

func TestHostileReplies(t *testing.T) {
	cases := []struct {
		name string
		lie  func(live Tag) (Tag, uint32)
	}{
		{"over its room", func(l Tag) (Tag, uint32) { return l, 101 }},
		{"other lane", func(l Tag) (Tag, uint32) { return l | 1<<48, 0 }},
		{"slot that is free", func(l Tag) (Tag, uint32) { return newTag(0, uint16(l.Slot()+1), l.generation()), 0 }},
		{"slot that is none", func(l Tag) (Tag, uint32) { return newTag(0, 0xffff, l.generation()), 0 }},
		{"generation before", func(l Tag) (Tag, uint32) { return l - 1, 0 }},
		{"generation after", func(l Tag) (Tag, uint32) { return l + 1, 0 }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(requestsPair(t, 4))
			tag, n := c.lie(request(t, p.device.Lane(0), 100, nil))
			put(p.down, 0, words(KindReply, n, 1, uint64(tag), 0)...)
			p.down.prod.Store(recordSize(n))
			mustBreak(t, p.device.Lane(0).In)
		})
	}
	t.Run("twice", func(t *testing.T) {
		for _, release := range []bool{false, true} {
			p := newPeer(requestsPair(t, 4))
			tag := request(t, p.device.Lane(0), 100, nil)
			put(p.down, 0, words(KindReply, 0, 1, uint64(tag), 0)...)
			put(p.down, 32, words(KindReply, 0, 1, uint64(tag), 0)...)
			p.down.prod.Store(32)
			var rec Record
			mustNext(t, p.device.Lane(0).In, &rec)
			if release {
				p.device.Lane(0).In.Release()
			}
			p.down.prod.Store(64)
			mustBreak(t, p.device.Lane(0).In)
		}
	})
	t.Run("stale, over its room", func(t *testing.T) {
		p := newPeer(requestsPair(t, 4))
		tag := request(t, p.device.Lane(0), 100, nil)
		if err := p.device.NewEpoch(0); err != nil {
			t.Fatal(err)
		}
		put(p.down, 0, words(KindReply, 101, 1, uint64(tag), 0)...)
		p.down.prod.Store(recordSize(101))
		mustBreak(t, p.device.Lane(0).In)
	})
}

func TestHostileRequests(t *testing.T) {
	t.Run("more than were granted", func(t *testing.T) {
		p := newPeer(requestsPair(t, 2))
		for i := range uint32(3) {
			put(p.up, i*32, words(KindRequest, 0, 1, uint64(i), 8)...)
		}
		p.up.prod.Store(96)
		mustBreak(t, p.plugin.Lane(0).In)
	})
	t.Run("room for more than a record", func(t *testing.T) {
		p := newPeer(requestsPair(t, 2))
		put(p.up, 0, words(KindRequest, 0, 1, 1, 4097)...)
		p.up.prod.Store(32)
		mustBreak(t, p.plugin.Lane(0).In)
	})
	t.Run("frame on a link of requests", func(t *testing.T) {
		p := newPeer(requestsPair(t, 2))
		put(p.up, 0, frame(0, 1)...)
		p.up.prod.Store(32)
		mustBreak(t, p.plugin.Lane(0).In)
	})
}

// A header that the peer changes after it was judged changes nothing.
func TestHeaderIsCopiedOut(t *testing.T) {
	p := newPeer(framesPair(t))
	put(p.up, 0, frame(64, 1)...)
	p.up.prod.Store(96)
	var rec Record
	mustNext(t, p.plugin.Lane(0).In, &rec)
	put(p.up, 0, frame(^uint32(0), 77)...)
	if len(rec.Payload) != 64 || rec.Epoch != 1 || rec.Kind != KindFrame {
		t.Errorf("%+v", rec)
	}
	p.plugin.Lane(0).In.Release()
	if got := p.up.cons.Load(); got != 96 {
		t.Errorf("consumer counter %d, want 96", got)
	}
}

// A peer that rewrites everything all the time gets at most its link taken down.
func TestPeerScribbles(t *testing.T) {
	for seed := range uint64(20) {
		p := newPeer(framesPair(t))
		stop := make(chan struct{})
		var scribbling sync.WaitGroup
		scribbling.Go(func() {
			x := seed*2654435761 + 1
			for {
				select {
				case <-stop:
					return
				default:
				}
				x = x*6364136223846793005 + 1442695040888963407
				off := uint32(x>>33) % MinRing &^ 31
				put(p.up, off, frame(uint32(x>>20)%600, 1)...)
				p.up.prod.Store(p.up.prod.Load() + 512)
				p.up.dataEvent.Store(uint32(x))
				p.up.spaceEvent.Store(uint32(x >> 7))
			}
		})
		var rec Record
		r := p.plugin.Lane(0).In
		total := 0
		for range 100_000 {
			ok, err := r.Next(&rec)
			if err != nil {
				break
			}
			if ok {
				total += bytes.Count(rec.Payload, []byte{0})
				r.Release()
			}
		}
		close(stop)
		scribbling.Wait()
	}
}

func TestPeerDies(t *testing.T) {
	device, plugin := framesPair(t)
	waited := make(chan error, 2)
	go func() { waited <- device.Lane(0).In.Wait(context.Background()) }()
	_ = plugin.conn.Close() // as the kernel does for a process that was killed
	if err := <-waited; !errors.Is(err, ErrPeerGone) {
		t.Errorf("Wait: %v", err)
	}
	// What it shared stays readable until Close.
	_ = device.Lane(0).In.ring.prod.Load()
}

func TestPeerStalls(t *testing.T) {
	device, plugin := framesPair(t)
	w := device.Lane(0).Out
	for {
		if _, err := w.TryReserve(KindFrame, 9000); errors.Is(err, ErrFull) {
			break
		}
		w.CommitFrame(NetHeader{}, 9000)
	}
	ctx, cancel := context.WithCancel(context.Background())
	waited := make(chan error, 1)
	go func() { waited <- w.Wait(ctx, KindFrame, 9000) }()
	// A full output does not keep the device from its input.
	var rec Record
	for range 100 {
		sendFrame(t, plugin.Lane(0).Out, NetHeader{}, make([]byte, 9000))
		publish(t, plugin.Lane(0).Out)
		mustNext(t, device.Lane(0).In, &rec)
		device.Lane(0).In.Release()
	}
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v", err)
	}
}

func TestPeerFloodsKicks(t *testing.T) {
	device, plugin := framesPair(t)
	r, w := device.Lane(0).In, plugin.Lane(0).Out
	stop := make(chan struct{})
	var flood sync.WaitGroup
	flood.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				w.ready.fd(addOne)
				plugin.Lane(0).In.space.fd(addOne)
			}
		}
	})
	var rec Record
	for i := range 500 {
		sendFrame(t, w, NetHeader{}, []byte{byte(i)})
		publish(t, w)
		mustNext(t, r, &rec)
		if rec.Payload[0] != byte(i) {
			t.Fatalf("frame %d came as %d", i, rec.Payload[0])
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	waited := make(chan error, 1)
	go func() { waited <- r.Wait(ctx) }()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v", err)
	}
	close(stop)
	flood.Wait()
}

// makeBlocking is what a hostile peer can do to an eventfd that it shares with us: O_NONBLOCK belongs to the open file.
func makeBlocking(t *testing.T, e *event) {
	t.Helper()
	var err error
	e.fd(func(fd uintptr) { err = unix.SetNonblock(int(fd), false) })
	if err != nil {
		t.Fatal(err)
	}
}

// pending tells whether a kick has not been taken yet.
func pending(e *event) (yes bool) {
	e.fd(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, _ := unix.Poll(p, 0)
		yes = n > 0
	})
	return yes
}

func TestPeerMakesEventsBlockTheReader(t *testing.T) {
	device, plugin := framesPair(t)
	kick := plugin.Lane(0).Out.ready
	makeBlocking(t, kick)
	ctx, cancel := context.WithCancel(context.Background())
	waited := make(chan error, 1)
	go func() { waited <- device.Lane(0).In.Wait(ctx) }()
	for range 20 { // kicks for nothing, each taken by a reader that then sleeps again
		kick.fd(addOne)
		for pending(kick) {
			runtime.Gosched()
		}
	}
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v", err)
	}
}

func TestPeerMakesEventsBlockTheWriter(t *testing.T) {
	device, plugin := framesPair(t)
	w, e := device.Lane(0).Out, plugin.Lane(0).In.ready
	e.fd(func(fd uintptr) {
		full := binary.NativeEndian.AppendUint64(nil, ^uint64(0)-1)
		if _, err := unix.Write(int(fd), full); err != nil {
			t.Error(err)
		}
	})
	makeBlocking(t, e)
	w.ring.dataEvent.Store(w.prod) // as if asleep
	sendFrame(t, w, NetHeader{}, []byte("x"))
	published := make(chan error, 1)
	go func() { published <- w.Publish() }()
	for !w.ready.signalling.Load() {
		runtime.Gosched()
	}
	_ = device.Break(ErrClosed)
	select {
	case <-published:
	case <-time.After(patience):
		t.Fatal("Break did not free the writer")
	}
}
