//go:build linux

package block

import (
	"context"
	"errors"
	"sync"

	"github.com/voidbox-run/voidbox/virtio"
)

const (
	// depth bounds the requests of one queue that workers hold; the others wait in the guest's ring.
	depth = 64

	// The driver is shown what has been done after so many requests or bytes at the latest, so that it goes on while the
	// device does.
	publishRequests = 64
	publishBytes    = 512 << 10
)

// queue serves one virtqueue. Its goroutine pops, and carries out what does not wait; workers carry out the rest and push
// that themselves.
type queue struct {
	d        *Device
	features uint64
	pool     *pool
	ctx      context.Context
	cancel   context.CancelCauseFunc // by Stop, and by a worker for which guest memory went away
	free     chan *request           // those that nobody holds

	mu sync.Mutex // guards vq
	vq *virtio.Queue

	requests [depth]request
	vector   vector
}

func newQueue(ctx context.Context, d *Device, p *pool, vq *virtio.Queue, features uint64) *queue {
	q := &queue{d: d, pool: p, features: features, vq: vq, free: make(chan *request, depth)}
	q.ctx, q.cancel = context.WithCancelCause(ctx)
	for i := range q.requests {
		q.requests[i].q = q
		q.free <- &q.requests[i]
	}
	return q
}

// serve ends with the queue's context, or when the driver breaks the ring.
func (q *queue) serve() error {
	r := <-q.free
	for {
		q.setKicks(false)
		for more := true; more; {
			var err error
			if r, more, err = q.serveBatch(r); err != nil {
				return err
			}
			if q.ctx.Err() != nil {
				return q.cause()
			}
		}
		if q.setKicks(true) {
			continue
		}
		select {
		case <-q.ctx.Done():
			return q.cause()
		case <-q.vq.Kick().C():
		}
	}
}

// cause is nil after Stop.
func (q *queue) cause() error {
	if err := context.Cause(q.ctx); !errors.Is(err, errStopped) {
		return err
	}
	return nil
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
			if r = q.take(); r == nil {
				return nil, false, nil
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

// take returns a request that nobody holds. While there is none, what has been done is shown to the driver; nil means that the
// queue has ended.
func (q *queue) take() *request {
	select {
	case r := <-q.free:
		return r
	default:
	}
	if err := q.publish(); err != nil {
		q.cancel(err)
		return nil
	}
	select {
	case r := <-q.free:
		return r
	case <-q.ctx.Done():
		return nil
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
