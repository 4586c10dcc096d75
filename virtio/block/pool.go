//go:build linux

package block

import (
	"sync"

	"github.com/voidbox-run/voidbox/virtio"
)

// pool is the workers of a device between Activate and Stop: goroutines that wait for the storage. They are started as they
// are needed and stay until close.
type pool struct {
	jobs    chan *request // has room for all requests that there are, so that submit does not wait
	limit   int
	workers sync.WaitGroup

	mu      sync.Mutex
	started int
	pending int // jobs that are not finished
}

func newPool(limit, queues int) *pool {
	return &pool{jobs: make(chan *request, queues*depth), limit: limit}
}

// submit has r finished by a worker.
func (p *pool) submit(r *request) {
	p.mu.Lock()
	p.pending++
	grow := p.pending > p.started && p.started < p.limit
	if grow {
		p.started++
	}
	p.mu.Unlock()
	p.jobs <- r
	if grow {
		p.workers.Go(p.work)
	}
}

// close waits until all that was submitted is finished. Nobody submits any more.
func (p *pool) close() {
	close(p.jobs)
	p.workers.Wait()
}

func (p *pool) work() {
	var v vector
	for r := range p.jobs {
		q := r.q
		q.d.counters.waited.Add(1)
		var err error
		if fault := virtio.Protect(func() { err = q.finish(r, &v) }); fault != nil {
			err = fault
		}
		if err != nil {
			q.lose(err)
		}
		p.mu.Lock()
		p.pending--
		p.mu.Unlock()
		q.free <- r
	}
}

// finish carries out the rest of r and shows that to the driver.
func (q *queue) finish(r *request, v *vector) error {
	q.push(r, r.finish(v))
	return q.publish()
}

// lose tells the queue's goroutine that there is no going on.
func (q *queue) lose(err error) {
	select {
	case q.lost <- err:
	default:
	}
	if kick, ok := q.vq.Kick().(virtio.Waiter); ok {
		kick.Wake()
	}
}
