//go:build linux

package virtio_test

import (
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
)

// FuzzQueue lets the fuzzer write all guest memory: the rings of a queue of 4 at its start and whatever it likes behind
// them. The device must stay inside its memory, make progress, and give every chain back.
func FuzzQueue(f *testing.F) {
	const (
		size  = 4
		desc  = 0
		avail = 64
		used  = 80
		total = 512
	)
	chain := make([]byte, 128)
	copy(chain, []byte{0, 1, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0}) // readable, next 1
	copy(chain[16:], []byte{0, 1, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 2})     // writable
	copy(chain[avail:], []byte{0, 0, 1})
	f.Add(uint16(0), true, chain)
	loop := append([]byte(nil), chain...)
	loop[16+12] = 3
	f.Add(uint16(0), false, loop)
	table := append([]byte(nil), chain...)
	table[8], table[12] = 32, 4
	f.Add(uint16(0), true, table)
	f.Add(uint16(65530), true, chain)

	f.Fuzz(func(t *testing.T, base uint16, events bool, guest []byte) {
		memory := make([]byte, total)
		copy(memory, guest)
		m, err := virtio.NewMemory(virtio.Region{Base: 0, Data: memory[:256]}, virtio.Region{Base: 256, Data: memory[256:]})
		if err != nil {
			t.Fatal(err)
		}
		cfg := virtio.QueueConfig{Size: size, Desc: desc, Avail: avail, Used: used, Base: base, Features: virtio.FeatureIndirect}
		if events {
			cfg.Features |= virtio.FeatureEventIdx
		}
		q, err := virtio.NewQueue(m, cfg)
		if err != nil {
			t.Fatal(err)
		}
		// What the device writes may well be its own rings, so the number of rounds is the only bound.
		for range 64 {
			if !serveOne(t, q) {
				break
			}
		}
		q.EnableKicks()
	})
}

// serveOne answers a chain with as many bytes as it has room for.
func serveOne(t *testing.T, q *virtio.Queue) bool {
	var c virtio.Chain
	ok, err := q.Pop(&c)
	if err != nil && (ok || q.Err() == nil) {
		t.Fatalf("Pop = %v, %v and the queue is not broken", ok, err)
	}
	if !ok {
		return false
	}
	in := make([]byte, min(c.Readable.Len(), 1<<16))
	c.Readable.CopyTo(in, 0)
	n := c.Writable.CopyFrom(in, 0)
	q.Push(&c, n)
	if err := q.Publish(); err != nil {
		t.Fatal(err)
	}
	return true
}
