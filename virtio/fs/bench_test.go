//go:build linux

package fs

import (
	"context"
	"encoding/binary"
	"log/slog"
	"testing"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// fastGuest is a driver that costs next to nothing: its chains are written once and offered again and again.
type fastGuest struct {
	dev    *Device
	plugin *link.Link
	ring   *virtiotest.Ring
	heads  []uint16
}

// newFastGuest makes depth requests of in bytes, in pages, with room for replies of out bytes.
func newFastGuest(t testing.TB, depth, in, out int) *fastGuest {
	t.Helper()
	const features = virtio.FeatureVersion1 | virtio.FeatureEventIdx
	device, plugin := virtiotest.NewLink(t, link.Terms{Purpose: link.Requests}, Ask(1))
	dev, err := New(Config{Tag: "bench", Link: device, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dev.Close() })
	g := &fastGuest{dev: dev, plugin: plugin}
	mem := virtiotest.NewMemory(t, 2<<20+depth*(in+out+16384))
	g.ring = virtiotest.NewRing(t, mem, 1024, features)
	next := 0
	for i := range depth {
		g.heads = append(g.heads, uint16(next))
		var bufs []virtiotest.Buffer
		add := func(n int, write bool) {
			for at := mem.Alloc(n); n > 0; {
				size := min(n, 64<<10)
				bufs = append(bufs, virtiotest.Buffer{Addr: at, Len: size, Write: write})
				at += uint64(size)
				n -= size
			}
		}
		add(in, false)
		h := mem.At(bufs[0].Addr, inHeaderSize)
		binary.LittleEndian.PutUint32(h, uint32(in))
		binary.LittleEndian.PutUint32(h[4:], opRead)
		binary.LittleEndian.PutUint64(h[8:], uint64(i))
		add(out, true)
		for j, b := range bufs {
			flags := uint16(0)
			if b.Write {
				flags = virtiotest.FlagWrite
			}
			if j < len(bufs)-1 {
				flags |= virtiotest.FlagNext
			}
			g.ring.SetDescriptor(next, b.Addr, uint32(b.Len), flags, uint16(next+1))
			next++
		}
	}
	idle := virtiotest.NewRing(t, mem, 16, features)
	virtiotest.Lend(t, dev, mem, features, func(_ int, err error) { t.Error(err) }, idle, g.ring)
	return g
}

// serve answers n requests of the request queue with replies of the given size, whose bytes are whatever stands there.
func (g *fastGuest) serve(t testing.TB, n, size int) {
	in, out := g.plugin.Lane(1).In, g.plugin.Lane(1).Out
	for rec := (link.Record{}); n > 0; {
		ok, err := in.Next(&rec)
		if err == nil && !ok {
			if err = out.Publish(); err == nil {
				err = in.Wait(context.Background())
			}
		}
		if err != nil {
			t.Error(err)
			return
		}
		if !ok || rec.Kind != link.KindRequest {
			continue
		}
		buf, err := out.TryReserve(link.KindReply, size)
		if err == link.ErrFull {
			if err = out.Wait(context.Background(), link.KindReply, size); err == nil {
				buf, err = out.TryReserve(link.KindReply, size)
			}
		}
		if err != nil {
			t.Error(err)
			return
		}
		binary.LittleEndian.PutUint32(buf, uint32(size))
		clear(buf[4:8])
		copy(buf[8:16], rec.Payload[8:16])
		out.CommitReply(rec.Tag, size)
		n--
	}
	_ = out.Publish()
}

// run has n requests answered, as many at once as there are chains.
func (g *fastGuest) run(n int) {
	sent := 0
	for ; sent < min(n, len(g.heads)); sent++ {
		g.ring.Offer(g.heads[sent])
	}
	g.ring.Notify()
	for got := 0; got < n; {
		head, _ := g.ring.Wait()
		for ok := true; ok; head, _, ok = g.ring.Reap() {
			got++
			if sent < n {
				g.ring.Offer(head)
				sent++
			}
		}
		if got < n {
			g.ring.Notify()
		}
	}
}

// BenchmarkRequests is what requests cost from the guest's ring to a plugin that does nothing, and back.
func BenchmarkRequests(b *testing.B) {
	for _, c := range []struct {
		name           string
		depth, in, out int
	}{
		{"getattr-1", 1, 56, 120},
		{"getattr-32", 32, 56, 120},
		{"read4k-1", 1, 80, 16 + 4096},
		{"read4k-32", 32, 80, 16 + 4096},
		{"read1m-4", 4, 80, 16 + 1<<20},
		{"write1m-4", 4, 80 + 1<<20, 24},
	} {
		b.Run(c.name, func(b *testing.B) {
			g := newFastGuest(b, c.depth, c.in, c.out)
			served := make(chan struct{})
			b.SetBytes(int64(c.in + c.out))
			b.ReportAllocs()
			b.ResetTimer()
			go func() {
				defer close(served)
				g.serve(b, b.N, c.out)
			}()
			g.run(b.N)
			<-served
		})
	}
}
