//go:build linux

package net

import (
	"context"
	"log/slog"
	"testing"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// fastGuest is a driver that costs next to nothing: its descriptors are written once and offered again and again.
type fastGuest struct {
	dev    *Device
	plugin *link.Link
	rx, tx *virtiotest.Ring
	mem    *virtiotest.Memory
	chains int // a ring's
	next   int // the chain to send next
	sent   int // chains that the device holds
}

const benchRing = 256

// newFastGuest has receive buffers of room bytes each, and sends a frame, of size bytes with its header, in chains of two
// descriptors.
func newFastGuest(t testing.TB, f frame, room int) *fastGuest {
	t.Helper()
	const features = virtio.FeatureVersion1 | virtio.FeatureEventIdx | featureMergeRX | uint64(link.NetFeatures)
	device, plugin := virtiotest.NewLink(t, link.Terms{Purpose: link.Frames, Features: link.NetFeatures}, Ask(1))
	dev, err := New(Config{MAC: testMAC, Link: device, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dev.Close() })
	g := &fastGuest{dev: dev, plugin: plugin, chains: benchRing / 2}
	g.mem = virtiotest.NewMemory(t, 1<<20+benchRing*(room+len(f.data)+8192))
	g.rx = virtiotest.NewRing(t, g.mem, benchRing, features)
	g.tx = virtiotest.NewRing(t, g.mem, benchRing, features)
	for i := range benchRing {
		g.rx.SetDescriptor(i, g.mem.Alloc(room), uint32(room), virtiotest.FlagWrite, 0)
		g.rx.Offer(uint16(i))
	}
	packet := f.packet()
	for i := range g.chains {
		at := g.mem.Alloc(len(packet))
		copy(g.mem.At(at, len(packet)), packet)
		g.tx.SetDescriptor(2*i, at, headerSize, virtiotest.FlagNext, uint16(2*i+1))
		g.tx.SetDescriptor(2*i+1, at+headerSize, uint32(len(f.data)), 0, 0)
	}
	virtiotest.Lend(t, dev, g.mem, features, func(_ int, err error) { t.Error(err) }, g.rx, g.tx)
	for rec := (link.Record{}); rec.Kind != link.KindEpoch; {
		if _, err := plugin.Lane(0).In.Next(&rec); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// send offers the next chain, once the device has used what it held before.
func (g *fastGuest) send() {
	for g.sent == g.chains {
		g.tx.Notify()
		g.tx.Wait()
		for ok := true; ok; g.sent-- {
			_, _, ok = g.tx.Reap()
		}
	}
	g.tx.Offer(uint16(2 * (g.next % g.chains)))
	g.next++
	g.sent++
}

var benchmarks = []struct {
	name string
	f    frame
	room int
}{
	{"mtu1500", frame{data: make([]byte, 1514)}, 1536},
	{"tso64k", frame{net: segments4, data: make([]byte, 65550)}, 4096},
}

// BenchmarkToNetwork is what frames cost from the guest's ring to a plugin that looks at nothing but headers.
func BenchmarkToNetwork(b *testing.B) {
	for _, c := range benchmarks {
		b.Run(c.name, func(b *testing.B) {
			g := newFastGuest(b, c.f, 2048)
			done := make(chan struct{})
			go func() {
				defer close(done)
				in := g.plugin.Lane(0).In
				for rec, n := (link.Record{}), 0; n < b.N; {
					ok, err := in.Next(&rec)
					if err == nil && !ok {
						err = in.Wait(context.Background())
					}
					if err != nil {
						b.Error(err)
						return
					}
					if ok {
						n++
					}
					if n%64 == 0 {
						in.Release()
					}
				}
				in.Release()
			}()
			b.SetBytes(int64(len(c.f.data)))
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				g.send()
				if i%32 == 31 || i == b.N-1 {
					g.tx.Notify()
				}
			}
			<-done
		})
	}
}

// BenchmarkToGuest is what frames cost from a plugin that writes nothing but headers to the guest's ring.
func BenchmarkToGuest(b *testing.B) {
	for _, c := range benchmarks {
		b.Run(c.name, func(b *testing.B) {
			g := newFastGuest(b, c.f, c.room)
			buffers := (headerSize + len(c.f.data) + c.room - 1) / c.room
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i, out := 0, g.plugin.Lane(0).Out; i < b.N; {
					_, err := out.TryReserve(link.KindFrame, len(c.f.data))
					if err == link.ErrFull {
						if err = out.Wait(context.Background(), link.KindFrame, len(c.f.data)); err == nil {
							continue
						}
					}
					if err != nil {
						b.Error(err)
						return
					}
					out.CommitFrame(c.f.net, len(c.f.data))
					if i++; i%16 == 0 || i == b.N {
						_ = out.Publish()
					}
				}
			}()
			b.SetBytes(int64(len(c.f.data)))
			b.ReportAllocs()
			b.ResetTimer()
			for got := 0; got < b.N*buffers; {
				head, _ := g.rx.Wait()
				for ok := true; ok; head, _, ok = g.rx.Reap() {
					g.rx.Offer(head)
					got++
				}
				g.rx.Notify()
			}
			<-done
		})
	}
}
