//go:build linux

package virtio_test

import (
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// BenchmarkQueue is the device's side of a chain of two descriptors, and writing them, in batches.
func BenchmarkQueue(b *testing.B) {
	const batch = 32
	r := newRing(b, 128, allFeatures)
	q := r.Queue(b, 0)
	data := r.Mem.Alloc(4096)
	var chains [batch]virtio.Chain
	b.ReportAllocs()
	for i := 0; i < b.N; i += batch {
		for j := range chains {
			r.SetDescriptor(2*j, data, 44, virtiotest.FlagNext|virtiotest.FlagWrite, uint16(2*j+1))
			r.SetDescriptor(2*j+1, data, 4096, virtiotest.FlagWrite, 0)
			r.SetAvail((i+j)&127, uint16(2*j))
		}
		r.SetAvailIndex(uint16(i + batch))
		for j := range chains {
			if ok, err := q.Pop(&chains[j]); !ok || err != nil {
				b.Fatal(ok, err)
			}
			q.Push(&chains[j], 44)
		}
		if err := q.Publish(); err != nil {
			b.Fatal(err)
		}
	}
}
