//go:build linux

package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// load is a pattern of requests.
type load struct {
	name   string
	kind   kind
	depth  int // requests in flight
	size   int
	random bool
	cold   bool // read from the host's disk
}

var loads = []load{
	{"read4KiB/QD1", kindIn, 1, 4 << 10, true, false},
	{"read4KiB/QD32", kindIn, 32, 4 << 10, true, false},
	{"cold4KiB/QD1", kindIn, 1, 4 << 10, true, true},
	{"cold4KiB/QD32", kindIn, 32, 4 << 10, true, true},
	{"write4KiB/QD1", kindOut, 1, 4 << 10, true, false},
	{"write4KiB/QD32", kindOut, 32, 4 << 10, true, false},
	{"read1MiB/QD1", kindIn, 1, 1 << 20, false, false},
	{"read1MiB/QD4", kindIn, 4, 1 << 20, false, false},
	{"write1MiB/QD4", kindOut, 4, 1 << 20, false, false},
}

const benchSize = 256 << 20

// BenchmarkDisk is a scripted guest on a file: calls made directly, the device, and the device with workers for all requests. The
// file is in the page cache, but for cold loads.
func BenchmarkDisk(b *testing.B) {
	file := newFile(b, benchSize/sectorSize)
	for _, l := range loads {
		b.Run(l.name+"/direct", func(b *testing.B) { l.direct(b, file) })
		b.Run(l.name+"/device", func(b *testing.B) {
			l.device(b, benchDevice(b, file), file)
		})
		b.Run(l.name+"/workers", func(b *testing.B) {
			dev := benchDevice(b, file)
			dev.disk = &faulty{storage: dev.disk, slow: true}
			l.device(b, dev, file)
		})
	}
}

func benchDevice(b *testing.B, file *os.File) *Device {
	fd, err := unix.Dup(int(file.Fd()))
	if err != nil {
		b.Fatal(err)
	}
	dev, err := New(os.NewFile(uintptr(fd), file.Name()), Options{})
	if err != nil {
		b.Fatal(err)
	}
	return dev
}

func (l load) sector(i int) uint64 {
	if l.random {
		return uint64(rand.IntN(benchSize/l.size)*l.size) / sectorSize
	}
	return uint64(i*l.size%benchSize) / sectorSize
}

func (l load) direct(b *testing.B, file *os.File) {
	l.prepare(b, file)
	buffer := make([]byte, l.size)
	b.SetBytes(int64(l.size))
	for i := range b.N {
		var err error
		offset := int64(l.sector(i)) * sectorSize
		if l.kind == kindIn {
			_, err = file.ReadAt(buffer, offset)
		} else {
			_, err = file.WriteAt(buffer, offset)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// prepare drops a file from the page cache for cold loads.
func (l load) prepare(b *testing.B, file *os.File) {
	if !l.cold {
		return
	}
	fd := int(file.Fd())
	if err := errors.Join(unix.Fsync(fd), unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
}

func (l load) device(b *testing.B, dev *Device, file *os.File) {
	l.prepare(b, file)
	mem := virtiotest.NewMemory(b, 1<<20+l.depth*(l.size+8192))
	ring := virtiotest.NewRing(b, mem, 128, ringFeatures)
	defer func() { _ = dev.Close() }()
	stop := virtiotest.Lend(b, dev, mem, ringFeatures|dev.Features(), func(_ int, err error) { b.Error(err) }, ring)
	defer stop()

	headers := make(map[uint16]uint64)
	free := make([]uint64, l.depth)
	for i := range free {
		free[i] = mem.Alloc(l.size + 32)
	}
	submit := func(at uint64, i int) {
		h := mem.At(at, 32)
		binary.LittleEndian.PutUint32(h, uint32(l.kind))
		binary.LittleEndian.PutUint64(h[8:], l.sector(i))
		head, ok := ring.Add(
			virtiotest.Buffer{Addr: at, Len: headerSize},
			virtiotest.Buffer{Addr: at + 32, Len: l.size, Write: l.kind == kindIn},
			virtiotest.Buffer{Addr: at + headerSize, Len: 1, Write: true})
		if !ok {
			b.Fatal("the ring is full")
		}
		headers[head] = at
	}
	reap := func(head uint16) uint64 {
		at := headers[head]
		if s := mem.At(at+headerSize, 1)[0]; s != 0 {
			b.Fatal(fmt.Errorf("status %d", s))
		}
		return at
	}
	b.SetBytes(int64(l.size))
	b.ReportAllocs()
	b.ResetTimer()
	sent := 0
	for done := 0; done < b.N; {
		for len(free) > 0 && sent < b.N {
			submit(free[len(free)-1], sent)
			free = free[:len(free)-1]
			sent++
		}
		ring.Publish()
		head, _ := ring.Wait()
		for ok := true; ok; head, _, ok = ring.Reap() {
			free = append(free, reap(head))
			done++
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(dev.Stats().Waited)/float64(b.N), "waited/op")
}
