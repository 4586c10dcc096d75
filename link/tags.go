//go:build linux

package link

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// tags are the requests of one lane that the device has in flight, one slot a credit. The writer's goroutine takes
// slots, the reader's gives them back.
type tags struct {
	lane int
	// handed orders what the device remembers of a request before the reply that makes it look: the exchange goes
	// through another process, which the Go memory model does not see.
	handed atomic.Uint32

	mu    sync.Mutex
	slots []slot
	free  []uint16
}

type slot struct {
	generation uint32
	room       uint32
	state      slotState
}

type slotState uint8

const (
	slotFree     slotState = iota
	slotLive               // waits for its reply
	slotStale              // waits for its reply, which nobody wants since the device was reset
	slotAnswered           // its reply is being read
)

func newTags(lane int, credits uint32) *tags {
	t := &tags{lane: lane, slots: make([]slot, credits), free: make([]uint16, 0, credits)}
	for i := int(credits) - 1; i >= 0; i-- {
		t.free = append(t.free, uint16(i))
	}
	return t
}

func (t *tags) available() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.free) > 0
}

// take is called after available, by the only goroutine that takes.
func (t *tags) take(room uint32) Tag {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	s := &t.slots[i]
	s.generation++
	s.room, s.state = room, slotLive
	return newTag(t.lane, i, s.generation)
}

// answer checks a reply of n bytes. wanted is false for a reply to a request from before a reset.
func (t *tags) answer(tag Tag, n uint32) (wanted bool, err error) {
	t.handed.Load()
	t.mu.Lock()
	defer t.mu.Unlock()
	if tag.lane() != t.lane || tag.Slot() >= len(t.slots) {
		return false, fmt.Errorf("reply with tag %#x, which is none of this lane's", uint64(tag))
	}
	s := &t.slots[tag.Slot()]
	if s.generation != tag.generation() || s.state != slotLive && s.state != slotStale {
		return false, fmt.Errorf("reply with tag %#x, which is not live", uint64(tag))
	}
	if n > s.room {
		return false, fmt.Errorf("reply of %d bytes into room for %d", n, s.room)
	}
	wanted = s.state == slotLive
	s.state = slotAnswered
	return wanted, nil
}

// giveBack frees the slots of replies that were read.
func (t *tags) giveBack(slots []uint16) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, i := range slots {
		t.slots[i].state = slotFree
		t.free = append(t.free, i)
	}
}

// abandon makes the replies to all live requests unwanted. Their credits come back with the replies, so that resets
// cannot pile up work at the plugin.
func (t *tags) abandon() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.slots {
		if t.slots[i].state == slotLive {
			t.slots[i].state = slotStale
		}
	}
}
