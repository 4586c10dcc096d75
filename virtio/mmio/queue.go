//go:build linux

package mmio

import (
	"errors"

	"github.com/voidbox-run/voidbox/virtio"
)

var errQueueSize = errors.New("queue size is above the maximum")

// queueRegisters is what a driver has said about one queue.
type queueRegisters struct {
	num               uint32
	desc, avail, used uint64
	// queue is not nil where the driver has set QueueReady. It lives through pauses, and with it its place in the rings.
	queue *virtio.Queue
	// broken is set where the device has given up on the queue, perhaps with a chain in its hands. It is not lent again.
	broken bool
}

// writeQueue stores to the layout registers of the selected queue (section 4.2.3.2), which a driver may do between FEATURES_OK and
// QueueReady.
func (r *registers) writeQueue(offset uint64, v uint32) {
	q := r.selected()
	if q == nil || q.queue != nil || !r.has(statusFeaturesOK) || r.has(statusDriverOK) {
		return
	}
	which := uint32(offset / 4 % 2)
	switch offset &^ 4 {
	case regQueueDesc:
		setHalf(&q.desc, which, v)
	case regQueueDriver:
		setHalf(&q.avail, which, v)
	case regQueueDevice:
		setHalf(&q.used, which, v)
	case regQueueNum:
		if which == 0 {
			q.num = v
		}
	}
}

func (t *Transport) writeQueueReady(v uint32) {
	t.life.Lock()
	defer t.life.Unlock()
	if t.closed {
		return
	}
	if v != 0 {
		t.enableQueue()
		return
	}
	t.disableQueue()
}

// enableQueue makes the selected queue, unless it is made already or cannot be.
func (t *Transport) enableQueue() {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.reg.selected()
	if q == nil || q.queue != nil || !t.reg.has(statusFeaturesOK) || t.reg.has(statusDriverOK) {
		return
	}
	queue, err := t.newQueue(int(t.reg.queueSel), q, t.reg.driverFeatures, 0)
	if err != nil {
		t.refused("queue refused", "queue", t.reg.queueSel, "error", err)
		return
	}
	q.queue = queue
}

// newQueue checks what the driver said about queue i and makes the device's side of it, which goes on at base.
func (t *Transport) newQueue(i int, q *queueRegisters, features uint64, base uint16) (*virtio.Queue, error) {
	if q.num > uint32(t.maxSizes[i]) {
		return nil, errQueueSize
	}
	return virtio.NewQueue(t.mem, virtio.QueueConfig{
		Size: uint16(q.num), Desc: q.desc, Avail: q.avail, Used: q.used,
		Base: base, Features: features,
		Kick: t.kicks[i], Call: &t.interrupt,
	})
}

// disableQueue takes the selected queue away, from a running device too; it comes back with a reset only. When the
// register reads 0, the device no longer touches the queue.
func (t *Transport) disableQueue() {
	t.mu.Lock()
	q := t.reg.selected()
	t.mu.Unlock()
	// queue changes only under life.
	if q == nil || q.queue == nil {
		return
	}
	t.dev.Stop()
	t.mu.Lock()
	q.queue = nil
	t.mu.Unlock()
	t.start()
}
