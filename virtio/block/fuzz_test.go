//go:build linux

package block

import (
	"bytes"
	"testing"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// memoryDisk is a storage in memory. It checks that all calls stay inside.
type memoryDisk struct {
	t    *testing.T
	data []byte
}

func (m *memoryDisk) part(offset, n int64) []byte {
	if offset < 0 || n < 0 || offset > int64(len(m.data)) || n > int64(len(m.data))-offset {
		m.t.Fatalf("%d bytes at %d of a disk of %d", n, offset, len(m.data))
	}
	return m.data[offset:][:n]
}

func (m *memoryDisk) readv(v *vector, offset int64, _ mode) (int, error) {
	n := v.each(func(p []byte, at int) { copy(p, m.part(offset+int64(at), int64(len(p)))) })
	return n, nil
}

func (m *memoryDisk) writev(v *vector, offset int64, _ mode) (int, error) {
	n := v.each(func(p []byte, at int) { copy(m.part(offset+int64(at), int64(len(p))), p) })
	return n, nil
}

func (m *memoryDisk) sync() error                        { return nil }
func (m *memoryDisk) discard(offset, n int64) error      { clear(m.part(offset, n)); return nil }
func (m *memoryDisk) zero(offset, n int64, _ bool) error { clear(m.part(offset, n)); return nil }

// FuzzBlockRequest sends the fuzzer's bytes as the readable part of one request, cut into descriptors as it likes, with room for
// the device to write. Whatever they are: no panic, no access outside the disk, one answer with a status, nothing written after
// it, and no more changed than a request of that length may.
func FuzzBlockRequest(f *testing.F) {
	f.Add(header(kindIn, 1), uint16(16), uint16(513))
	f.Add(append(header(kindOut, 2), make([]byte, 512)...), uint16(16), uint16(1))
	f.Add(append(header(kindOut, 1<<63), make([]byte, 512)...), uint16(3), uint16(1))
	f.Add(header(kindFlush, 0), uint16(8), uint16(1))
	f.Add(header(kindGetID, 0), uint16(16), uint16(21))
	f.Add(append(header(kindDiscard, 0), ranges(1, 2, 0, 4, 4, 0)...), uint16(16), uint16(1))
	f.Add(append(header(kindWriteZeroes, 0), ranges(1, 2, 1)...), uint16(20), uint16(1))
	f.Add(header(99, 0), uint16(0), uint16(0))
	const sectors, room = 64, 16 << 10
	disk := &memoryDisk{data: make([]byte, sectors*sectorSize)}
	dev := newDevice(Options{Queues: 1, Workers: 1, Serial: "fuzz"}, geometry{sectors: sectors}, disk)
	mem := virtiotest.NewMemory(f, 64<<10)
	ring := virtiotest.NewRing(f, mem, 16, virtio.FeatureVersion1)
	q := newQueue(dev, newPool(1, 1), ring.Queue(f, 0), 0, nil)
	at := mem.Alloc(room)
	out := mem.At(mem.Alloc(room), room)
	before := make([]byte, len(disk.data))
	fillNoise(before, 1)
	f.Fuzz(func(t *testing.T, readable []byte, cut, writable uint16) {
		if len(readable) > room || int(writable) > room {
			return
		}
		disk.t = t
		copy(disk.data, before)
		copy(mem.At(at, room), readable)
		for i := range out {
			out[i] = unwritten
		}
		var bufs []virtiotest.Buffer
		if n := min(int(cut), len(readable)); n > 0 {
			bufs = append(bufs, virtiotest.Buffer{Addr: at, Len: n})
		}
		if n := min(int(cut), len(readable)); n < len(readable) {
			bufs = append(bufs, virtiotest.Buffer{Addr: at + uint64(n), Len: len(readable) - n})
		}
		if writable > 0 {
			bufs = append(bufs, virtiotest.Buffer{Addr: at + room, Len: int(writable), Write: true})
		}
		if len(bufs) == 0 {
			return
		}
		ring.Add(bufs...)
		ring.Publish()
		r := <-q.free
		defer func() { q.free <- r }()
		if ok, err := q.pop(&r.chain); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if !q.start(r) {
			if err := q.finish(r, &vector{}); err != nil {
				t.Fatal(err)
			}
		} else if err := q.publish(); err != nil {
			t.Fatal(err)
		}
		check(t, ring, r, out, int(writable))
		if len(readable) < headerSize && !bytes.Equal(disk.data, before) {
			t.Error("a request without a header changed the disk")
		}
	})
}

func check(t *testing.T, ring *virtiotest.Ring, r *request, out []byte, writable int) {
	t.Helper()
	_, used, ok := ring.Reap()
	if !ok || used > writable {
		t.Fatalf("used %t, length %d of %d", ok, used, writable)
	}
	if writable > 0 && status(out[writable-1]) > statusUnsupported {
		t.Errorf("status %#x", out[writable-1])
	}
	for _, b := range out[writable:] {
		if b != unwritten {
			t.Fatal("the device wrote past the chain")
		}
	}
	if writable > 0 && status(out[writable-1]) == statusOK && r.kind == kindIn && used != writable {
		t.Errorf("a read of %d bytes succeeded with a used length of %d", writable-1, used)
	}
}
