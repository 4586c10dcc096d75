//go:build linux

package fs

import (
	"encoding/binary"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

func TestRequestsAndReplies(t *testing.T) {
	g := boot(t, setup{queues: 2})
	for lane, q := range g.queues {
		for _, c := range []struct {
			name  string
			body  string
			room  int
			cuts  []int
			reply string
		}{
			{"header alone", "", 16, nil, ""},
			{"header apart", "body", 100, []int{40}, "reply"},
			{"header in pieces", "body", 100, []int{1, 8, 39, 41}, "reply"},
			{"large", strings.Repeat("x", 9000), 9016, []int{40, 4096, 8192}, strings.Repeat("y", 9000)},
			{"short reply", "body", 9000, nil, "z"},
		} {
			t.Run(c.name, func(t *testing.T) {
				g.t = t
				m := g.request(opRead, c.body)
				head := q.send(m, c.room, c.cuts...)
				rec := g.wantRecord(lane, link.KindRequest, m)
				if int(rec.Room) != c.room {
					t.Errorf("room for %d bytes, want %d", rec.Room, c.room)
				}
				r := replyTo(m, 0, c.reply)
				g.answer(lane, rec.Tag, r)
				q.want(head, r)
			})
		}
	}
	if m := g.dev.Metrics(); m.Requests != 15 || m.Replies != 15 || m.InFlight != 0 {
		t.Errorf("metrics %+v", m)
	}
}

func TestRepliesInAnyOrder(t *testing.T) {
	g := boot(t, setup{})
	q := g.queues[1]
	var messages [][]byte
	var heads []uint16
	var tags []link.Tag
	for range 20 {
		m := g.request(opRead, "x")
		messages, heads = append(messages, m), append(heads, q.send(m, 64))
		tags = append(tags, g.wantRecord(1, link.KindRequest, m).Tag)
	}
	for _, i := range []int{7, 19, 0, 3, 18, 1, 2, 4, 5, 6, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8} {
		r := replyTo(messages[i], syscall.ENOENT, "")
		g.answer(1, tags[i], r)
		q.want(heads[i], r)
	}
}

// Messages without a reply need no credit and are not waited for.
func TestNotices(t *testing.T) {
	g := boot(t, setup{credits: 1})
	stuck := g.request(opRead, "")
	head := g.queues[0].send(stuck, 16)
	tag := g.wantRecord(0, link.KindRequest, stuck).Tag
	for _, op := range []uint32{opForget, opBatchForget, opInterrupt, opNotifyReply} {
		for _, room := range []int{0, 64} {
			m := g.request(op, "body")
			n := g.queues[0].send(m, room)
			g.queues[0].want(n, []byte{})
			g.wantRecord(0, link.KindNotice, m)
		}
	}
	g.answer(0, tag, replyTo(stuck, 0, ""))
	g.queues[0].want(head, replyTo(stuck, 0, ""))
	if m := g.dev.Metrics(); m.Notices != 8 || m.Requests != 1 {
		t.Errorf("metrics %+v", m)
	}
}

// What the link has no credit for stays in the virtqueue, and no lane waits for another.
func TestRequestsWaitForCredits(t *testing.T) {
	g := boot(t, setup{credits: 3})
	q := g.queues[1]
	const count = 20
	var messages [][]byte
	var heads []uint16
	for range count {
		m := g.request(opRead, "x")
		messages, heads = append(messages, m), append(heads, q.send(m, 64))
	}
	var tags []link.Tag
	take := func() { tags = append(tags, g.wantRecord(1, link.KindRequest, messages[len(tags)]).Tag) }
	for range 3 {
		take()
	}
	// The other lane is free. When it has answered, the first would have gone on if it could.
	other := g.request(opRead, "other")
	head := g.queues[0].send(other, 64)
	r := replyTo(other, 0, "")
	g.answer(0, g.wantRecord(0, link.KindRequest, other).Tag, r)
	g.queues[0].want(head, r)
	if m := g.dev.Metrics(); m.InFlight != 3 {
		t.Errorf("%d requests in flight with 3 credits", m.InFlight)
	}
	for i := range count {
		r := replyTo(messages[i], 0, "y")
		g.answer(1, tags[i], r)
		q.want(heads[i], r)
		if len(tags) < count {
			take()
		}
	}
}

// A ring that is full of notices keeps further ones in the virtqueue, while replies come through.
func TestFullLinkLeavesChainsInTheQueue(t *testing.T) {
	g := boot(t, setup{ringSize: link.MinRing, payload: 8192})
	q := g.queues[1]
	m := g.request(opRead, "x")
	head := q.send(m, 64)
	tag := g.wantRecord(1, link.KindRequest, m).Tag
	var notices [][]byte
	for range 12 {
		n := g.request(opForget, strings.Repeat("f", 8000))
		notices = append(notices, n)
		q.add(n, 0)
	}
	q.ring.Publish()
	for range link.MinRing / 8192 {
		if _, reply := q.wait(); len(reply) != 0 {
			t.Fatalf("reply % x to a notice", reply)
		}
	}
	g.answer(1, tag, replyTo(m, 0, ""))
	q.want(head, replyTo(m, 0, ""))
	for _, n := range notices {
		g.wantRecord(1, link.KindNotice, n)
	}
}

func TestLyingGuest(t *testing.T) {
	g := boot(t, setup{payload: 8192})
	q := g.queues[1]
	eio := func(m []byte) []byte { return replyTo(m, syscall.EIO, "") }
	none := func([]byte) []byte { return []byte{} }
	for i, c := range []struct {
		name string
		make func(m []byte) []byte
		room int
		want func(m []byte) []byte
	}{
		{"one byte", func(m []byte) []byte { return m[:1] }, 64, func(m []byte) []byte { return replyTo(make([]byte, 16), syscall.EIO, "") }},
		{"most of a header", func(m []byte) []byte { return m[:39] }, 64, eio},
		{"length of 0", func(m []byte) []byte { return setLength(m, 0) }, 64, eio},
		{"length below a header", func(m []byte) []byte { return setLength(m, 39) }, 64, eio},
		{"length past the chain", func(m []byte) []byte { return setLength(m, uint32(len(m)+1)) }, 64, eio},
		{"length of 4 GiB", func(m []byte) []byte { return setLength(m, 1<<32-1) }, 64, eio},
		{"no room", func(m []byte) []byte { return m }, 0, none},
		{"room for 15 bytes", func(m []byte) []byte { return m }, 15, none},
		{"larger than the link carries", func(m []byte) []byte { return setLength(append(m, make([]byte, 9000)...), 8193) }, 64, eio},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.t = t
			m := c.make(g.request(opRead, "body"))
			q.want(q.send(m, c.room), c.want(append(m, make([]byte, 16)...)))
			g.wantAlive()
			if n := g.dev.Metrics().Invalid; n != uint64(i+1) {
				t.Errorf("%d invalid requests", n)
			}
		})
	}
	// Bytes behind the message are not the plugin's business.
	m := g.request(opRead, "body")
	head := q.send(append(m[:len(m):len(m)], "more"...), 64)
	rec := g.wantRecord(1, link.KindRequest, m)
	g.answer(1, rec.Tag, replyTo(m, 0, ""))
	q.want(head, replyTo(m, 0, ""))
	// Nor does a message without a reply get one when it is wrong.
	m = setLength(g.request(opForget, ""), 1<<31)
	q.want(q.send(m, 64), []byte{})
}

func setLength(m []byte, n uint32) []byte {
	binary.LittleEndian.PutUint32(m, n)
	return m
}

// A wrong reply costs its request, and nothing else.
func TestLyingPlugin(t *testing.T) {
	g := boot(t, setup{})
	q := g.queues[1]
	change := func(at int, v uint32) func([]byte) []byte {
		return func(r []byte) []byte { binary.LittleEndian.PutUint32(r[at:], v); return r }
	}
	for i, c := range []struct {
		name string
		make func(r []byte) []byte
	}{
		{"empty", func(r []byte) []byte { return nil }},
		{"part of a header", func(r []byte) []byte { return r[:15] }},
		{"length of 0", change(0, 0)},
		{"length too small", change(0, 16)},
		{"length too large", change(0, 1<<32-1)},
		{"another's number", change(8, 99)},
		{"positive error", change(4, 5)},
		{"error out of range", change(4, ^uint32(511))},
		{"smallest error", change(4, 1<<31)},
		{"error with a body", change(4, ^uint32(1))},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.t = t
			m := g.request(opRead, "body")
			head := q.send(m, 64)
			rec := g.wantRecord(1, link.KindRequest, m)
			g.answer(1, rec.Tag, c.make(replyTo(m, 0, "reply")))
			q.want(head, replyTo(m, syscall.EIO, ""))
			g.wantAlive()
			if n := g.dev.Metrics().BadReplies; n != uint64(i+1) {
				t.Errorf("%d bad replies", n)
			}
		})
	}
}

func TestConfigurationSpace(t *testing.T) {
	dev, _ := setup{queues: 3}.newDevice(t, nil)
	want := append([]byte("share"), make([]byte, 31)...)
	want = append(want, 3, 0, 0, 0, 0, 0)
	for offset := range len(want) {
		got := make([]byte, len(want)-offset)
		dev.ReadConfig(uint32(offset), got)
		if string(got) != string(want[offset:]) {
			t.Errorf("at %d: % x, want % x", offset, got, want[offset:])
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
	}{
		{"no tag", Config{}},
		{"tag of 37 bytes", Config{Tag: strings.Repeat("t", 37)}},
		{"tag with a zero", Config{Tag: "a\x00b"}},
		{"tag that is no text", Config{Tag: "\xff"}},
		{"too many queues", Config{Tag: "t", Queues: 32}},
		{"another number of lanes", Config{Tag: "t", Queues: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			device, plugin := virtiotest.NewLink(t, link.Terms{Purpose: link.Requests}, Ask(1))
			c.cfg.Link, c.cfg.Logger = device, slog.New(slog.DiscardHandler)
			if _, err := New(c.cfg); err == nil {
				t.Error("no error")
			}
			<-plugin.Done() // the link was taken over all the same
		})
	}
	device, _ := virtiotest.NewLink(t, link.Terms{Purpose: link.Frames}, link.Ask{Purpose: link.Frames, Lanes: 2})
	if _, err := New(Config{Tag: "t", Link: device}); err == nil {
		t.Error("a link of frames was taken")
	}
}
