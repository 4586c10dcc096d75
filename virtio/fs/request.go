//go:build linux

package fs

import (
	"context"
	"errors"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/virtio"
)

// outcome is why a batch of requests ended.
type outcome int

const (
	more     outcome = iota // there may be more at once
	idle                    // the queue is empty
	full                    // the link has no room, or no credit
	linkDown                // what was popped was given back
)

// takeRequests asks what the guest asks, until ctx ends or the link goes down. Without a link it answers everything with
// EIO. An error is the driver's.
func (s *server) takeRequests(ctx context.Context) error {
	if kick, ok := s.q.Kick().(virtio.Waiter); ok {
		defer context.AfterFunc(ctx, kick.Wake)()
	}
	ready := func() bool { return s.enableKicks() || ctx.Err() != nil }
	for ctx.Err() == nil {
		why, err := s.requestBatch()
		if s.out != nil && s.out.Publish() != nil {
			why = linkDown
		}
		if perr := s.publish(); err == nil {
			err = perr
		}
		if err != nil {
			return err
		}
		switch why {
		case linkDown:
			return nil
		case full:
			if err := s.out.Wait(ctx, s.kind, s.need); err != nil {
				s.unplugged(ctx, err)
			}
		case idle:
			s.awaitKick(ctx, ready)
		}
	}
	return nil
}

// awaitKick waits for a kick, with kicks enabled.
func (s *server) awaitKick(ctx context.Context, ready func() bool) {
	if kick, ok := s.q.Kick().(virtio.Waiter); ok && kick.Wait(ready) || ready() {
		return
	}
	select {
	case <-ctx.Done():
	case <-s.q.Kick().C():
	}
}

// unplugged is called when waiting has failed. If it was not for the sake of ctx the link is down, or of no use.
func (s *server) unplugged(ctx context.Context, err error) {
	if ctx.Err() == nil {
		_ = s.link.Break(err)
	}
}

func (s *server) publish() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.q.Publish()
}

func (s *server) enableKicks() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.q.EnableKicks()
}

// pop takes the next chain. The driver need not kick while we look anyway.
func (s *server) pop() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.q.DisableKicks()
	return s.q.Pop(&s.chain)
}

func (s *server) unpop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.q.Unpop(&s.chain)
}

// push returns the present chain with n bytes.
func (s *server) push(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.q.Push(&s.chain, n)
}

func (s *server) requestBatch() (outcome, error) {
	for n, bytes := 0, 0; n < batch && bytes < batchBytes; n++ {
		ok, err := s.pop()
		if !ok {
			return idle, err
		}
		bytes += s.chain.Readable.Len()
		if why := s.request(); why != more {
			s.unpop()
			return why, nil
		}
	}
	return more, nil
}

// request sends the present chain's message, or answers it. Other outcomes than more leave the chain to be returned.
func (s *server) request() outcome {
	h, ok := readRequest(&s.chain)
	if !ok {
		s.refuse(&h)
		s.d.count.invalid.Add(1)
		return more
	}
	if s.out == nil {
		s.refuse(&h)
		s.d.count.failed.Add(1)
		return more
	}
	kind, n := link.KindRequest, int(h.length())
	if h.silent() {
		kind = link.KindNotice
	}
	buf, err := s.out.TryReserve(kind, n)
	switch {
	case err == nil:
	case errors.Is(err, link.ErrFull), errors.Is(err, link.ErrNoCredit):
		s.kind, s.need = kind, n
		return full
	case errors.Is(err, link.ErrTooLarge):
		s.refuse(&h)
		s.d.count.invalid.Add(1)
		return more
	default:
		return linkDown
	}
	// The header that was judged, whatever stands in guest memory by now.
	copy(buf, h[:])
	s.chain.Readable.CopyTo(buf[inHeaderSize:], inHeaderSize)
	s.d.count.requestBytes.Add(uint64(n))
	if h.silent() {
		s.d.count.notices.Add(1)
		s.out.CommitNotice(n)
		s.push(0)
		return more
	}
	s.d.count.requests.Add(1)
	s.keep(s.out.CommitRequest(uint32(s.chain.Writable.Len()), n), h.unique())
	return more
}

// refuse answers the present chain's message with EIO, unless it has no reply.
func (s *server) refuse(h *inHeader) {
	n := 0
	if !h.silent() {
		n = writeError(&s.chain, h.unique())
	}
	s.push(n)
}

// keep remembers the present chain until the reply with the tag comes.
func (s *server) keep(tag link.Tag, unique uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.lane.slots[tag.Slot()]
	r.live, r.unique = true, unique
	r.chain, s.chain = s.chain, r.chain // and its slices serve the next Pop
	s.pending++
	s.d.count.inFlight.Add(1)
}
