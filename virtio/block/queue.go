//go:build linux

package block

import (
	"errors"
	"runtime"
	"sync"

	"github.com/voidbox-run/voidbox/virtio"
)

const (
	// depth bounds the requests of one queue that workers hold; the others wait in the guest's ring.
	depth = 64

	// publishRequests is after how many requests the driver is shown what has been done, at the latest.
	publishRequests = 64
)

// publishBytes is the same in bytes.
var publishBytes = publishAfter(runtime.NumCPU())

// publishAfter lets a driver go on while the device does. With one CPU it could not, and its interrupts are better saved up.
func publishAfter(cpus int) int {
	if cpus == 1 {
		return 4 << 20
	}
	return 512 << 10
}

// queue serves one virtqueue. Its goroutine pops, and carries out what does not wait; workers carry out the rest and push
// that themselves.
type queue struct {
	d        *Device
	pool     *pool
	features uint64
	stop     <-chan struct{}
	lost     chan error    // has room for the first thing that a worker found to be wrong with the queue
	free     chan *request // those that nobody holds

	mu sync.Mutex // guards vq
	vq *virtio.Queue

	ready func() bool // whether there is more to do than to wait

	requests [depth]request
	vector   vector
}

func newQueue(d *Device, p *pool, vq *virtio.Queue, features uint64, stop <-chan struct{}) *queue {
	q := &queue{
		d: d, pool: p, vq: vq, features: features, stop: stop,
		lost: make(chan error, 1), free: make(chan *request, depth),
	}
	q.ready = func() bool { return len(q.lost) > 0 || q.stopped() || q.setKicks(true) }
	for i := range q.requests {
		q.requests[i].q = q
		q.free <- &q.requests[i]
	}
	return q
}

// errStopped ends serve when nothing is wrong.
var errStopped = errors.New("block: stopped")

// serve answers requests until the device is stopped, or the queue is broken.
func (q *queue) serve() error {
	err := q.run(<-q.free)
	if err == errStopped {
		return nil
	}
	return err
}

// run holds one request that it may use, r at first.
func (q *queue) run(r *request) (err error) {
	for {
		q.setKicks(false)
		for more := true; more; {
			if r, more, err = q.serveBatch(r); err != nil {
				return err
			}
			if err := q.ended(); err != nil {
				return err
			}
		}
		if err := q.await(); err != nil {
			return err
		}
	}
}

// await waits for a kick, with kicks enabled.
func (q *queue) await() error {
	if kick, ok := q.vq.Kick().(virtio.Waiter); ok && kick.Wait(q.ready) {
		return q.ended()
	}
	if q.setKicks(true) {
		return nil
	}
	select {
	case <-q.stop:
		return errStopped
	case err := <-q.lost:
		return err
	case <-q.vq.Kick().C():
		return nil
	}
}

func (q *queue) stopped() bool {
	select {
	case <-q.stop:
		return true
	default:
		return false
	}
}

func (q *queue) ended() error {
	select {
	case <-q.stop:
		return errStopped
	case err := <-q.lost:
		return err
	default:
		return nil
	}
}

// serveBatch carries out requests and publishes them together. It returns the request to use next, and whether there may be
// more to do.
func (q *queue) serveBatch(r *request) (next *request, more bool, err error) {
	moved := 0
	for range publishRequests {
		if more, err = q.pop(&r.chain); !more || err != nil {
			break
		}
		if finished := q.start(r); !finished {
			q.pool.submit(r)
			if r, err = q.take(); err != nil {
				return nil, false, err
			}
			continue
		}
		if moved += r.size; moved >= publishBytes {
			break
		}
	}
	if perr := q.publish(); err == nil {
		err = perr
	}
	return r, more, err
}

// take returns a request that nobody holds. While there is none, what has been done is shown to the driver.
func (q *queue) take() (*request, error) {
	select {
	case r := <-q.free:
		return r, nil
	default:
	}
	if err := q.publish(); err != nil {
		return nil, err
	}
	select {
	case r := <-q.free:
		return r, nil
	case err := <-q.lost:
		return nil, err
	case <-q.stop:
		return nil, errStopped
	}
}

// start carries r out, if that can be done without waiting.
func (q *queue) start(r *request) (finished bool) {
	err := r.parse(q.d)
	if err == nil {
		err = r.start(&q.vector)
	}
	if err == errWouldWait {
		return false
	}
	q.push(r, err)
	return true
}

func (q *queue) pop(c *virtio.Chain) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.vq.Pop(c)
}

// push gives r back to the driver with the status that err stands for.
func (q *queue) push(r *request, err error) {
	s := q.d.account(r, err)
	if r.room >= 0 {
		r.chain.Writable.CopyFrom([]byte{byte(s)}, r.room)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.vq.Push(&r.chain, r.written())
}

func (q *queue) publish() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.vq.Publish()
}

func (q *queue) setKicks(on bool) (more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if on {
		return q.vq.EnableKicks()
	}
	q.vq.DisableKicks()
	return false
}
