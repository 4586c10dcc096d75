package virtio

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxQueueSize is the greatest size of a split virtqueue (section 2.7).
const MaxQueueSize = 32768

const (
	flagNoInterrupt = 1 // VIRTQ_AVAIL_F_NO_INTERRUPT, written by the driver
	flagNoNotify    = 1 // VIRTQ_USED_F_NO_NOTIFY, written by the device

	ringHeader   = 4 // flags and idx, 16 bits each
	availElement = 2
	usedElement  = 8
)

// QueueConfig is what a driver and a transport settle about one queue.
type QueueConfig struct {
	// Size is the number of descriptors, a power of two.
	Size uint16
	// Desc, Avail and Used are guest-physical addresses, aligned to 16, 2 and 4 bytes.
	Desc, Avail, Used uint64
	// Base is the index at which both rings go on: 0 for a new queue, else what Queue.Base returned.
	Base uint16
	// Features are the negotiated ones; EVENT_IDX and INDIRECT_DESC concern the queue.
	Features uint64

	Kick Kick
	Call Call
}

// Queue is the device's side of a split virtqueue (section 2.7). It is not safe for concurrent use.
//
// A device pops chains, fills them, pushes them in any order and publishes once for a batch:
//
//	for {
//		ok, err := q.Pop(&chain)  // err: the driver broke the ring
//		if !ok { break }
//		q.Push(&chain, written)
//	}
//	q.Publish()
//	if !q.EnableKicks() { wait for q.Kick().C() }
//
// All indices run freely through 16 bits and are masked only to find a slot.
type Queue struct {
	mem  *Memory
	size uint16
	desc []byte
	// avail and used include their trailing event field.
	avail, used []byte

	nextAvail uint16 // the next avail element to pop
	nextUsed  uint16 // where the next used element goes
	published uint16 // the used index that the driver can see
	noKicks   bool

	indirect bool
	eventIdx bool
	inFlight []bool // by head: popped and not pushed
	kick     Kick
	call     Call
	broken   error
}

// NewQueue checks the configuration against memory and returns the queue. It reads no ring contents, so
// what it accepts may still turn out to be broken.
func NewQueue(mem *Memory, cfg QueueConfig) (*Queue, error) {
	if cfg.Size == 0 || cfg.Size > MaxQueueSize || cfg.Size&(cfg.Size-1) != 0 {
		return nil, fmt.Errorf("queue size %d is not a power of two up to %d", cfg.Size, MaxQueueSize)
	}
	if cfg.Desc%16 != 0 || cfg.Avail%2 != 0 || cfg.Used%4 != 0 {
		return nil, fmt.Errorf("rings at %#x, %#x, %#x are not aligned", cfg.Desc, cfg.Avail, cfg.Used)
	}
	q := &Queue{
		mem: mem, size: cfg.Size,
		nextAvail: cfg.Base, nextUsed: cfg.Base, published: cfg.Base,
		indirect: cfg.Features&FeatureIndirect != 0,
		eventIdx: cfg.Features&FeatureEventIdx != 0,
		inFlight: make([]bool, cfg.Size),
		kick:     cfg.Kick, call: cfg.Call,
	}
	n := uint64(cfg.Size)
	var errs [3]error
	q.desc, errs[0] = mem.Slice(cfg.Desc, n*descSize)
	q.avail, errs[1] = mem.Slice(cfg.Avail, ringHeader+n*availElement+2)
	q.used, errs[2] = mem.Slice(cfg.Used, ringHeader+n*usedElement+2)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("rings of a queue of %d: %w", cfg.Size, err)
	}
	return q, nil
}

// Size returns the number of descriptors.
func (q *Queue) Size() int { return int(q.size) }

// Base returns the index at which the queue goes on. A chain in flight is then lost, unless the device adopts it.
func (q *Queue) Base() uint16 { return q.nextAvail }

// Kick returns the source of the driver's notifications.
func (q *Queue) Kick() Kick { return q.kick }

// Err returns why the queue is broken, or nil.
func (q *Queue) Err() error { return q.broken }

func (q *Queue) fail(format string, args ...any) error {
	if q.broken == nil {
		q.broken = fmt.Errorf("%w: %w", ErrRing, fmt.Errorf(format, args...))
	}
	return q.broken
}

// Pop takes the next chain that the driver has made available into c, whose slices it reuses, and
// reports whether there was one. An error breaks the queue for good.
func (q *Queue) Pop(c *Chain) (bool, error) {
	if q.broken != nil {
		return false, q.broken
	}
	waiting := load16(q.avail, 2) - q.nextAvail
	if waiting == 0 {
		return false, nil
	}
	if waiting > q.size {
		return false, q.fail("avail index is %d ahead of a queue of %d", waiting, q.size)
	}
	slot := int(q.nextAvail & (q.size - 1))
	head := binary.LittleEndian.Uint16(q.avail[ringHeader+slot*availElement:])
	if head >= q.size {
		return false, q.fail("head %d of a queue of %d", head, q.size)
	}
	if q.inFlight[head] {
		return false, q.fail("head %d is offered while the device holds it", head)
	}
	if err := q.walk(head, c); err != nil {
		return false, q.fail("chain at head %d: %w", head, err)
	}
	q.inFlight[head] = true
	q.nextAvail++
	return true, nil
}

// Unpop gives the last chain that was popped back to the avail ring, unchanged. Several are given back in
// the reverse order of Pop.
func (q *Queue) Unpop(c *Chain) {
	if q.inFlight[c.Head] {
		q.inFlight[c.Head] = false
		q.nextAvail--
	}
}

// Push gives the chain back to the driver; the device has written the first n bytes of its writable
// part. The driver sees it after Publish.
func (q *Queue) Push(c *Chain, n int) {
	if !q.inFlight[c.Head] {
		panic("virtio: push of a chain that is not in flight")
	}
	if n < 0 || n > c.Writable.Len() {
		panic("virtio: push claims more bytes than the chain has room for")
	}
	q.inFlight[c.Head] = false
	at := ringHeader + int(q.nextUsed&(q.size-1))*usedElement
	binary.LittleEndian.PutUint64(q.used[at:], uint64(c.Head)|uint64(uint32(n))<<32)
	q.nextUsed++
}

// Publish shows the driver all that was pushed and calls it unless it asked not to be called.
func (q *Queue) Publish() error {
	if q.nextUsed == q.published {
		return q.broken
	}
	old := q.published
	q.published = q.nextUsed
	// The elements are written before the index (a store of store32 is never moved up), and the index is
	// visible before the driver's wish is read (store32 is a full fence): else both sides could sleep.
	q.storeUsedHeader()
	if !q.wantsCall(old) || q.call == nil {
		return q.broken
	}
	return q.call.Signal()
}

func (q *Queue) storeUsedHeader() {
	word := uint32(q.published) << 16
	if q.noKicks && !q.eventIdx {
		word |= flagNoNotify
	}
	store32(q.used, 0, word)
}

func (q *Queue) wantsCall(old uint16) bool {
	if !q.eventIdx {
		return load16(q.avail, 0)&flagNoInterrupt == 0
	}
	usedEvent := load16(q.avail, len(q.avail)-2)
	return passed(usedEvent, old, q.published)
}

// passed reports whether an index that moved from old to now went past event (section 2.7.7.2).
func passed(event, old, now uint16) bool { return now-event-1 < now-old }

// EnableKicks asks the driver to kick for the next chain, and reports whether a chain has arrived already,
// in which case no kick may come and the device must pop again. A broken queue has none.
func (q *Queue) EnableKicks() bool {
	if q.broken != nil {
		return false
	}
	q.noKicks = false
	if q.eventIdx {
		if !store16(q.used, len(q.used)-2, q.nextAvail) {
			_ = q.fail("memory beside the avail event keeps changing")
			return true
		}
	} else {
		q.storeUsedHeader()
	}
	return load16(q.avail, 2) != q.nextAvail
}

// DisableKicks tells the driver that the device looks at the ring anyway. It is a hint.
func (q *Queue) DisableKicks() {
	if q.noKicks {
		return
	}
	q.noKicks = true
	if !q.eventIdx {
		q.storeUsedHeader()
	}
}
