//go:build linux

package block

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
	"github.com/voidbox-run/voidbox/virtio/virtiotest"
)

// alternating has every other call that must not wait refused, so that the goroutine of a queue and the workers share it.
type alternating struct {
	storage
	mu sync.Mutex
	n  int
}

func (a *alternating) refuse(mode mode) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n++
	return mode == mustNotWait && a.n%2 == 0
}

func (a *alternating) readv(v *vector, offset int64, mode mode) (int, error) {
	if a.refuse(mode) {
		return 0, errWouldWait
	}
	return a.storage.readv(v, offset, mode)
}

func (a *alternating) writev(v *vector, offset int64, mode mode) (int, error) {
	if a.refuse(mode) {
		return 0, errWouldWait
	}
	return a.storage.writev(v, offset, mode)
}

// TestParallel drives several queues at once, each on sectors of its own, with many requests in flight that are partly finished
// inline and partly by workers. Every request is answered once and every byte is where it belongs.
func TestParallel(t *testing.T) {
	const queues, share, depth, rounds = 3, testSectors / 4, 24, 40
	dev, err := New(newFile(t, testSectors), Options{Queues: queues, Workers: 3, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dev.Close() }()
	dev.disk = &alternating{storage: dev.disk}
	mem := virtiotest.NewMemory(t, 8<<20)
	rings := make([]*virtiotest.Ring, queues)
	for i := range rings {
		rings[i] = virtiotest.NewRing(t, mem, 128, ringFeatures)
	}
	stop := virtiotest.Lend(t, dev, mem, ringFeatures|dev.Features(), func(_ int, err error) { t.Error(err) }, rings...)
	buffers := make([]uint64, queues*depth)
	for i := range buffers {
		buffers[i] = mem.Alloc(8192)
	}
	var guests sync.WaitGroup
	for i, ring := range rings {
		guests.Go(func() { pound(t, mem, ring, buffers[i*depth:][:depth], uint64(i*share), rounds) })
	}
	guests.Wait()
	stop()
	st := dev.Stats()
	if want := uint64(queues * depth * rounds / 2); st.Reads != want || st.Writes != want || st.Errors != 0 || st.Waited == 0 || st.Waited == 2*want {
		t.Errorf("stats are %+v", st)
	}
}

// pound writes and reads back, with a request for every buffer in flight.
func pound(t *testing.T, mem *virtiotest.Memory, ring *virtiotest.Ring, buffers []uint64, first uint64, rounds int) {
	want := make([]byte, 4096)
	for round := range rounds {
		write := round%2 == 0
		slots := make(map[uint16]int)
		for i, at := range buffers {
			h, data := mem.At(at, 17), mem.At(at+4096, 4096)
			k := kindIn
			fillNoise(want, uint64(round/2+i))
			if clear(data); write {
				k = kindOut
				copy(data, want)
			}
			copy(h, header(k, first+uint64(8*i)))
			h[16] = unwritten
			head, ok := ring.Add(virtiotest.Buffer{Addr: at, Len: 16}, virtiotest.Buffer{Addr: at + 4096, Len: 4096, Write: !write},
				virtiotest.Buffer{Addr: at + 16, Len: 1, Write: true})
			if !ok {
				t.Error("the ring is full")
				return
			}
			slots[head] = i
			if i%5 == 0 {
				ring.Publish()
			}
		}
		ring.Publish()
		for range buffers {
			head, _, ok := ring.WaitUntil(patience())
			i, known := slots[head]
			if !ok || !known {
				t.Errorf("head %d was used: known %t, in time %t", head, known, ok)
				return
			}
			delete(slots, head)
			fillNoise(want, uint64(round/2+i))
			if s := mem.At(buffers[i]+16, 1)[0]; s != 0 || !bytes.Equal(mem.At(buffers[i]+4096, 4096), want) {
				t.Errorf("round %d, request %d: status %d, or the wrong data", round, i, s)
				return
			}
		}
	}
}

// TestManySegments sends a request of more pieces than one system call takes, and one that fills an indirect table.
func TestManySegments(t *testing.T) {
	g := startGuest(t, Options{})
	const pieces = 1022
	table, at := g.mem.Alloc(16*1024), g.mem.Alloc(64<<10)
	for _, k := range []kind{kindOut, kindIn} {
		data := g.mem.At(at+64, pieces*512/2)
		if k == kindOut {
			fillNoise(data, 5)
		} else {
			clear(data)
		}
		copy(g.mem.At(at, 16), header(k, 8))
		g.mem.At(at+16, 1)[0] = unwritten
		flags := uint16(virtiotest.FlagNext)
		g.ring.SetDescriptorAt(table, at, 16, flags, 1)
		if k == kindIn {
			flags |= virtiotest.FlagWrite
		}
		piece := at + 64
		for i := 1; i <= pieces; i++ { // of 1 and 511 bytes in turn
			n := uint32(1 + i%2*510)
			g.ring.SetDescriptorAt(table+uint64(16*i), piece, n, flags, uint16(i+1))
			piece += uint64(n)
		}
		g.ring.SetDescriptorAt(table+16*(pieces+1), at+16, 1, virtiotest.FlagWrite, 0)
		g.ring.SetDescriptor(0, table, 16*(pieces+2), virtiotest.FlagIndirect, 0)
		g.ring.Offer(0)
		g.ring.Notify()
		g.ring.Wait()
		if s := g.mem.At(at+16, 1)[0]; s != 0 {
			t.Fatalf("type %d: status %d", k, s)
		}
		if !bytes.Equal(data, g.contents()[8*512:][:len(data)]) {
			t.Errorf("type %d: the data differ", k)
		}
	}
}

// TestNoKickNeeded leaves requests in the ring before the device is activated: a kick may have come before.
func TestNoKickNeeded(t *testing.T) {
	g := startGuest(t, Options{})
	g.stop()
	g.ring = virtiotest.NewRing(t, g.mem, 128, ringFeatures)
	h := header(kindGetID, 0)
	binary.LittleEndian.PutUint32(h[4:], 99) // the reserved field is ignored
	copy(g.mem.At(g.buffer, 16), h)
	if _, ok := g.ring.Add(virtiotest.Buffer{Addr: g.buffer, Len: 16}, virtiotest.Buffer{Addr: g.buffer + 16, Len: 21, Write: true}); !ok {
		t.Fatal("the ring is full")
	}
	g.ring.Publish()
	if err := g.ring.Kick.Wait(); err != nil { // the kick gets lost
		t.Fatal(err)
	}
	g.stop = virtiotest.Lend(t, g.dev, g.mem, ringFeatures, func(_ int, err error) { g.broken <- err }, g.ring)
	if _, used := g.ring.Wait(); used != 21 {
		t.Errorf("used length %d", used)
	}
}

// TestLife covers a transport that does things twice, or too late.
func TestLife(t *testing.T) {
	g := startGuest(t, Options{})
	if err := g.dev.Activate(virtio.Activation{}); err == nil {
		t.Error("the device was activated while it runs")
	}
	g.stop()
	g.dev.Stop()
	g.dev.Reset()
	if err := g.dev.Activate(virtio.Activation{Queues: []*virtio.Queue{nil, nil}}); err != nil {
		t.Errorf("without a queue: %v", err)
	}
	if err := g.dev.Close(); err != nil {
		t.Error(err)
	}
	if err := g.dev.Activate(virtio.Activation{}); err == nil {
		t.Error("the device was activated after Close")
	}
	g.dev.Reset()
}

func TestAbuse(t *testing.T) {
	virtiotest.Abuse(t, func(t testing.TB) virtio.Device {
		dev, err := New(newFile(t, testSectors), Options{Queues: 2, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = dev.Close() })
		return dev
	})
}

// TestInMemory: nothing waits for a worker on a file that lies in memory, whether its file system knows RWF_NOWAIT or not.
func TestInMemory(t *testing.T) {
	fd, err := unix.MemfdCreate("disk", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "disk")
	if err := file.Truncate(testSectors * sectorSize); err != nil {
		t.Fatal(err)
	}
	dev, err := New(file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := startDevice(t, dev)
	for sector := range uint64(8) {
		s, _, _ := g.do(kindIn, sector*100, nil, 4096)
		g.wantStatus(s, statusOK)
		s, _, _ = g.do(kindOut, sector*100, make([]byte, 4096), 0)
		g.wantStatus(s, statusOK)
	}
	if st := dev.Stats(); st.Waited != 0 || st.Reads != 8 || st.Writes != 8 {
		t.Errorf("stats are %+v", st)
	}
}
