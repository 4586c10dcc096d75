//go:build linux

package fs

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"syscall"
	"testing"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// FuzzMessages has a guest send the fuzzer's message and a plugin answer it with the fuzzer's reply. The plugin gets what the
// header says or nothing, and the guest an answer of its own number within its room, or nothing where it left no room.
func FuzzMessages(f *testing.F) {
	g := &guest{}
	m := g.request(opRead, "body")
	f.Add(m, uint16(40), uint16(100), replyTo(m, 0, "reply"))
	f.Add(m, uint16(3), uint16(16), replyTo(m, syscall.ENOENT, ""))
	f.Add(m, uint16(0), uint16(15), []byte{})
	f.Add(m[:20], uint16(0), uint16(100), []byte{})
	f.Add(setLength(bytes.Clone(m), 41), uint16(39), uint16(100), m)
	f.Add(g.request(opForget, "x"), uint16(40), uint16(0), []byte{})
	f.Add(g.request(opBatchForget, ""), uint16(1), uint16(1), []byte{1})

	device, plugin := virtiotest.NewLink(f, link.Terms{Purpose: link.Requests, Credits: 2}, Ask(1))
	d, err := New(Config{Tag: "fuzz", Link: device, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = d.Close() })
	mem := virtiotest.NewMemory(f, 1<<20)
	ring := virtiotest.NewRing(f, mem, 16, virtio.FeatureVersion1)
	data := mem.Alloc(1 << 18)
	ended, cancel := context.WithCancel(context.Background())
	cancel() // the goroutines' functions do what there is to do, and return

	f.Fuzz(func(t *testing.T, message []byte, cut, room uint16, reply []byte) {
		if len(message) > 1<<16 {
			return
		}
		ring.Clear()
		copy(mem.At(data, len(message)), message)
		var bufs []virtiotest.Buffer
		add := func(from uint64, n int, write bool) {
			if n > 0 {
				bufs = append(bufs, virtiotest.Buffer{Addr: data + from, Len: n, Write: write})
			}
		}
		at := min(int(cut), len(message))
		add(0, at, false)
		add(uint64(at), len(message)-at, false)
		const out = 1 << 16
		add(out, int(room), true)
		if len(bufs) == 0 {
			return
		}
		ring.Add(bufs...)
		ring.Publish()

		s := newServer(newRun(d, virtio.Activation{}), 1, ring.Queue(t, 0))
		if why, err := s.requestBatch(); why != idle || err != nil {
			t.Fatal(why, err)
		}
		if err := s.out.Publish(); err != nil {
			t.Fatal(err)
		}
		respond(t, plugin.Lane(1), message, reply)
		if err := s.takeReplies(ended); err != context.Canceled && err != nil {
			t.Fatal(err)
		}
		if err := s.failPending(); err != nil {
			t.Fatal(err)
		}
		s.in.Release()

		_, n, ok := ring.Reap()
		if !ok || n > int(room) {
			t.Fatalf("used %v, %d bytes of %d", ok, n, room)
		}
		if n == 0 {
			return
		}
		got := mem.At(data+out, n)
		h, ok := readReply(got, binary.LittleEndian.Uint64(append(bytes.Clone(message), make([]byte, 16)...)[8:]))
		if !ok || h.error() != int32(-int(syscall.EIO)) && !bytes.Equal(got, reply[:min(len(reply), int(room))]) {
			t.Fatalf("answer % x to % x, where the plugin said % x", got, message, reply)
		}
	})
}

// respond is the plugin's part, within the rules of the link.
func respond(t *testing.T, lane *link.Lane, message, reply []byte) {
	var rec link.Record
	ok, err := lane.In.Next(&rec)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return
	}
	defer lane.In.Release()
	n := int(binary.LittleEndian.Uint32(message))
	if len(rec.Payload) != n || !bytes.Equal(rec.Payload, message[:n]) {
		t.Fatalf("record % x of a message % x", rec.Payload, message)
	}
	if rec.Kind != link.KindRequest {
		return
	}
	reply = reply[:min(len(reply), int(rec.Room))]
	buf, err := lane.Out.TryReserve(link.KindReply, len(reply))
	if err != nil {
		t.Fatal(err)
	}
	copy(buf, reply)
	lane.Out.CommitReply(rec.Tag, len(reply))
	if err := lane.Out.Publish(); err != nil {
		t.Fatal(err)
	}
}
