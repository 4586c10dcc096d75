//go:build linux

package fs

import (
	"context"
	"sync"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
)

const (
	// batch and batchBytes bound what is moved between two publications: often enough that the other side works at the
	// same time, seldom enough that kicks and shared counters cost little.
	batch      = 64
	batchBytes = 256 << 10
)

// server serves one queue with one lane, by two goroutines: its own asks, and while the link is up another one takes replies.
type server struct {
	d    *Device
	run  *run
	lane *lane
	link *link.Link // nil where there is none
	in   *link.Reader
	out  *link.Writer

	mu      sync.Mutex // guards the queue and what follows
	q       *virtio.Queue
	pending int           // live requests
	none    chan struct{} // pending has become 0

	// The requester's.
	chain virtio.Chain
	kind  link.Kind // what the link had no room or no credit for
	need  int
}

func newServer(r *run, i int, q *virtio.Queue) *server {
	s := &server{d: r.d, run: r, lane: &r.d.lanes[i], link: r.d.link, q: q, none: make(chan struct{}, 1)}
	if s.link != nil {
		s.in, s.out = s.link.Lane(i).In, s.link.Lane(i).Out
	}
	return s
}

// serve ends when the run is stopped. An error is the driver's.
func (s *server) serve() error {
	if err := s.adopt(); err != nil {
		return err
	}
	if s.link != nil {
		if err := s.exchange(); err != nil || s.link.Err() == nil {
			return err
		}
		s.out = nil
	}
	if err := s.failPending(); err != nil {
		return err
	}
	return s.takeRequests(s.run.requests)
}

// exchange runs both goroutines until the run is stopped or the link goes down.
func (s *server) exchange() error {
	ctx, stopRequests := context.WithCancel(s.run.requests)
	defer stopRequests()
	replyCtx, stopReplies := context.WithCancel(s.run.replies)
	ended := make(chan struct{})
	var replyErr error
	go func() {
		defer close(ended)
		defer stopRequests() // whose replies nobody would take
		if fault := virtio.Protect(func() { replyErr = s.takeReplies(replyCtx) }); fault != nil {
			replyErr = fault
		}
	}()
	defer func() { stopReplies(); <-ended }() // also where touching guest memory panics
	if err := s.takeRequests(ctx); err != nil {
		return err
	}
	s.drain(ended)
	stopReplies()
	<-ended
	return replyErr
}

// drain waits until there is nothing left to wait for.
func (s *server) drain(ended <-chan struct{}) {
	for s.waiting() > 0 {
		select {
		case <-s.none:
		case <-ended:
			return
		}
	}
}

func (s *server) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending
}

// adopt takes over the chains that earlier activations have kept, and fails those that no reply will come to.
func (s *server) adopt() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.lane.slots {
		r := &s.lane.slots[i]
		if !r.live {
			continue
		}
		if err := s.q.Adopt(r.chain.Head, &r.chain); err != nil {
			return err
		}
		s.pending++
	}
	lost := make([]virtio.Chain, len(s.lane.lost))
	for i, t := range s.lane.lost {
		if err := s.q.Adopt(t.head, &lost[i]); err != nil {
			return err
		}
	}
	for i, t := range s.lane.lost {
		s.q.Push(&lost[i], writeError(&lost[i], t.unique))
		s.d.count.failed.Add(1)
	}
	s.lane.lost = nil
	return s.q.Publish()
}

// failPending answers all live requests with EIO, once nobody else does.
func (s *server) failPending() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.lane.slots {
		r := &s.lane.slots[i]
		if !r.live {
			continue
		}
		s.q.Push(&r.chain, writeError(&r.chain, r.unique))
		s.settle(r)
		s.d.count.failed.Add(1)
	}
	return s.q.Publish()
}

// settle ends a request that was answered.
func (s *server) settle(r *request) {
	r.live = false
	s.d.count.inFlight.Add(-1)
	if s.pending--; s.pending == 0 {
		select {
		case s.none <- struct{}{}:
		default:
		}
	}
}

// abandon forgets the requests of a queue that is broken.
func (s *server) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.d.count.inFlight.Add(int64(-s.pending))
	s.pending = 0
	s.lane.forget()
}
