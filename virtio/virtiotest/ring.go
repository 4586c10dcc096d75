//go:build linux

package virtiotest

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/virtio"
)

// Patience is how long a test waits for what must come.
const Patience = 30 * time.Second

// Descriptor flags (section 2.7.5).
const (
	FlagNext     = 1
	FlagWrite    = 2
	FlagIndirect = 4
)

// Buffer is one element of a chain.
type Buffer struct {
	Addr  uint64
	Len   int
	Write bool // for the device to write
}

// Ring is the driver's side of one virtqueue.
type Ring struct {
	Mem               *Memory
	Size              int
	Desc, Avail, Used uint64
	Features          uint64
	Kick, Call        *virtio.EventFD

	t         testing.TB
	free      []uint16
	chains    map[uint16][]uint16
	availIdx  uint16
	published uint16
	lastUsed  uint16
}

// NewRing lays out a ring in mem, with the rings on pages of their own.
func NewRing(t testing.TB, mem *Memory, size int, features uint64) *Ring {
	t.Helper()
	r := &Ring{
		Mem: mem, Size: size, Features: features,
		Desc: mem.Alloc(16 * size), Avail: mem.Alloc(6 + 2*size), Used: mem.Alloc(6 + 8*size),
		t: t, chains: make(map[uint16][]uint16),
	}
	r.Clear()
	r.Kick, r.Call = NewEvent(t), NewEvent(t)
	return r
}

// Clear empties the ring, as a driver does that begins anew. The device must not be using it.
func (r *Ring) Clear() {
	clear(r.Mem.At(r.Desc, 16*r.Size))
	clear(r.Mem.At(r.Avail, 6+2*r.Size))
	clear(r.Mem.At(r.Used, 6+8*r.Size))
	clear(r.chains)
	r.free = r.free[:0]
	for i := r.Size - 1; i >= 0; i-- {
		r.free = append(r.free, uint16(i))
	}
	r.availIdx, r.published, r.lastUsed = 0, 0, 0
}

// NewEvent returns an eventfd for the time of the test, on which waits end after Patience.
func NewEvent(t testing.TB) *virtio.EventFD {
	t.Helper()
	e, err := virtio.NewEventFD()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	_ = e.File().SetReadDeadline(time.Now().Add(Patience))
	return e
}

// SetDescriptor writes entry i of the descriptor table.
func (r *Ring) SetDescriptor(i int, addr uint64, length uint32, flags, next uint16) {
	r.SetDescriptorAt(r.Desc+uint64(16*i), addr, length, flags, next)
}

// SetDescriptorAt writes a descriptor anywhere, such as into an indirect table.
func (r *Ring) SetDescriptorAt(at, addr uint64, length uint32, flags, next uint16) {
	b := r.Mem.At(at, 16)
	binary.LittleEndian.PutUint64(b, addr)
	binary.LittleEndian.PutUint32(b[8:], length)
	binary.LittleEndian.PutUint16(b[12:], flags)
	binary.LittleEndian.PutUint16(b[14:], next)
}

// SetAvail writes a slot of the avail ring.
func (r *Ring) SetAvail(slot int, head uint16) {
	binary.LittleEndian.PutUint16(r.Mem.At(r.Avail+4+uint64(2*slot), 2), head)
}

// SetAvailIndex publishes an avail index, with avail flags of 0.
func (r *Ring) SetAvailIndex(idx uint16) {
	r.availIdx, r.published = idx, idx
	store32(r.Mem.At(r.Avail, 4), uint32(idx)<<16)
}

// Offer makes head available, whatever its descriptors say.
func (r *Ring) Offer(head uint16) {
	r.SetAvail(int(r.availIdx)&(r.Size-1), head)
	r.SetAvailIndex(r.availIdx + 1)
}

// Add queues a chain without publishing it, and returns its head; false where there are too few descriptors.
func (r *Ring) Add(bufs ...Buffer) (head uint16, ok bool) {
	if len(bufs) > len(r.free) {
		return 0, false
	}
	ids := make([]uint16, len(bufs))
	for i := range bufs {
		ids[i] = r.free[len(r.free)-1-i]
	}
	r.free = r.free[:len(r.free)-len(bufs)]
	for i, b := range bufs {
		flags, next := uint16(0), uint16(0)
		if b.Write {
			flags |= FlagWrite
		}
		if i+1 < len(bufs) {
			flags |= FlagNext
			next = ids[i+1]
		}
		r.SetDescriptor(int(ids[i]), b.Addr, uint32(b.Len), flags, next)
	}
	r.chains[ids[0]] = ids
	r.SetAvail(int(r.availIdx)&(r.Size-1), ids[0])
	r.availIdx++
	return ids[0], true
}

// Publish makes what was added available, and kicks the device unless it asked not to be kicked.
func (r *Ring) Publish() {
	if r.availIdx == r.published {
		return
	}
	old := r.published
	r.published = r.availIdx
	store32(r.Mem.At(r.Avail, 4), uint32(r.availIdx)<<16)
	if r.wantsKick(old) {
		r.Notify()
	}
}

// Notify kicks the device.
func (r *Ring) Notify() {
	if err := r.Kick.Signal(); err != nil {
		r.t.Errorf("kick: %v", err)
	}
}

func (r *Ring) wantsKick(old uint16) bool {
	if r.Features&virtio.FeatureEventIdx == 0 {
		return load32(r.Mem.At(r.Used, 4))&1 == 0
	}
	event := uint16(load32(r.Mem.At(r.Used+4+uint64(8*r.Size), 4)))
	return r.availIdx-event-1 < r.availIdx-old
}

// UsedIndex returns the device's index.
func (r *Ring) UsedIndex() uint16 { return uint16(load32(r.Mem.At(r.Used, 4)) >> 16) }

// Reap takes back the next chain that the device has used.
func (r *Ring) Reap() (head uint16, n int, ok bool) {
	if r.UsedIndex() == r.lastUsed {
		return 0, 0, false
	}
	b := r.Mem.At(r.Used+4+uint64(8*(int(r.lastUsed)&(r.Size-1))), 8)
	r.lastUsed++
	head = uint16(binary.LittleEndian.Uint32(b))
	r.free = append(r.free, r.chains[head]...)
	delete(r.chains, head)
	return head, int(binary.LittleEndian.Uint32(b[4:])), true
}

// Wait reaps the next chain, waiting for the device's call.
func (r *Ring) Wait() (head uint16, n int) {
	r.t.Helper()
	head, n, ok := r.WaitUntil(time.Now().Add(Patience))
	if !ok {
		r.t.Fatalf("virtiotest: the device has not used a chain within %v", Patience)
	}
	return head, n
}

// WaitUntil is Wait with a deadline; false means that nothing came.
func (r *Ring) WaitUntil(deadline time.Time) (head uint16, n int, ok bool) {
	for {
		if head, n, ok = r.Reap(); ok {
			return head, n, true
		}
		r.armCall()
		if head, n, ok = r.Reap(); ok {
			return head, n, true
		}
		_ = r.Call.File().SetReadDeadline(deadline)
		if err := r.Call.Wait(); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				r.t.Errorf("wait for a call: %v", err)
			}
			return 0, 0, false
		}
	}
}

// armCall asks to be called for the next used chain.
func (r *Ring) armCall() {
	if r.Features&virtio.FeatureEventIdx == 0 {
		return
	}
	// Avail ring and used event share a word; the driver owns both.
	at := r.Avail + 4 + uint64(2*r.Size)
	store32(r.Mem.At(at, 4), uint32(r.lastUsed))
}

// Lend activates the device with the rings, as a transport in the same process does, until the test ends. It
// returns the function that stops it: the device is stopped, not reset, and the queues are returned.
func Lend(t testing.TB, dev virtio.Device, mem *Memory, features uint64, broken func(int, error), rings ...*Ring) (stop func() []*virtio.Queue) {
	t.Helper()
	queues := make([]*virtio.Queue, len(rings))
	var kicks []*virtio.EventKick
	for i, r := range rings {
		if r == nil {
			continue
		}
		q, kick := r.Lent(t, 0)
		queues[i] = q
		kicks = append(kicks, kick)
	}
	err := dev.Activate(virtio.Activation{Features: features, Memory: mem.Memory, Queues: queues, Broken: broken})
	if err != nil {
		t.Fatal(err)
	}
	done := false
	stop = func() []*virtio.Queue {
		if !done {
			done = true
			dev.Stop()
			for _, k := range kicks {
				_ = k.Close()
			}
		}
		return queues
	}
	t.Cleanup(func() { stop() })
	return stop
}

// Queue returns the device's side of the ring, which nobody kicks.
func (r *Ring) Queue(t testing.TB, base uint16) *virtio.Queue {
	t.Helper()
	q, err := virtio.NewQueue(r.Mem.Memory, r.config(base))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func (r *Ring) config(base uint16) virtio.QueueConfig {
	return virtio.QueueConfig{
		Size: uint16(r.Size), Desc: r.Desc, Avail: r.Avail, Used: r.Used,
		Base: base, Features: r.Features, Call: r.Call,
	}
}

// Lent returns the device's side of the ring, which the ring's Kick kicks. The caller closes the kick.
func (r *Ring) Lent(t testing.TB, base uint16) (*virtio.Queue, *virtio.EventKick) {
	t.Helper()
	kick := virtio.NewEventKick(duplicate(t, r.Kick))
	cfg := r.config(base)
	cfg.Kick = kick
	q, err := virtio.NewQueue(r.Mem.Memory, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return q, kick
}
