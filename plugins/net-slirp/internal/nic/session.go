package nic

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/loop"
)

// session is one link, as long as it is up. It is a loop.Source.
type session struct {
	link  *link.Link
	loop  *loop.Loop
	lanes []*lane
}

// lane is one queue pair: the loop reads what the guest sends; whoever has a packet for the guest writes it under mu.
type lane struct {
	e      *Endpoint
	index  int
	in     *link.Reader
	agreed atomic.Uint64 // link.Features that the guest's driver has accepted
	brief  atomic.Bool   // what the guest sent last was little

	mu    sync.Mutex
	out   *link.Writer
	down  bool // the ring is gone
	queue []*stack.PacketBuffer
	cut   int                 // bytes of the first packet's payload that have gone as segments of their own
	late  *stack.PacketBuffer // an acknowledgement that waits for company

	turn   bool // the loop is at work, and will show what it has put into the ring
	unseen int  // bytes of that
}

// Serve carries frames between l and the stack until l goes down, which is its error, or ctx ends. One link at a time; the caller
// closes it.
func (e *Endpoint) Serve(ctx context.Context, l *link.Link) error {
	s := &session{link: l, loop: e.cfg.Loop}
	for i := range l.Lanes() {
		s.lanes = append(s.lanes, &lane{e: e, index: i, in: l.Lane(i).In, out: l.Lane(i).Out})
	}
	e.steer.reset()
	e.session.Store(s)
	var err error
	s.loop.Do(func() { err = s.plug() })
	if err == nil {
		select {
		case <-ctx.Done():
		case <-l.Done():
		}
	}
	s.loop.Do(s.unplug)
	e.session.CompareAndSwap(s, nil)
	for _, lane := range s.lanes {
		lane.close()
	}
	return errors.Join(err, l.Err())
}

// plug has the loop work for the session.
func (s *session) plug() error {
	for _, l := range s.lanes {
		if err := errors.Join(s.loop.Watch(l.in.Event(), loop.Readable, nil), s.loop.Watch(l.out.Event(), loop.Readable, nil)); err != nil {
			return err
		}
	}
	s.loop.Add(s)
	return nil
}

func (s *session) unplug() {
	s.loop.Remove(s)
	for _, l := range s.lanes {
		s.loop.Unwatch(l.in.Event())
		s.loop.Unwatch(l.out.Event())
	}
}

// maxBatch is how many frames of a lane are taken before others have their turn.
const maxBatch = 64

// Begin implements loop.Source.
func (s *session) Begin() {
	for _, l := range s.lanes {
		l.setTurn(true)
	}
}

// Work implements loop.Source.
func (s *session) Work() (more bool) {
	for _, l := range s.lanes {
		more = l.work() || more
	}
	return more
}

// Flush implements loop.Source.
func (s *session) Flush() {
	for _, l := range s.lanes {
		l.setTurn(false)
	}
}

// Pending implements loop.Source.
func (s *session) Pending() bool {
	for _, l := range s.lanes {
		if l.in.Pending() {
			return true
		}
	}
	return false
}

// Arm implements loop.Source.
func (s *session) Arm() bool {
	for _, l := range s.lanes {
		if !l.in.Arm() || !l.armQueue() {
			return false
		}
	}
	return true
}

// Idle implements loop.Source.
func (s *session) Idle() {
	for _, l := range s.lanes {
		l.mu.Lock()
		l.sendLate()
		l.mu.Unlock()
	}
}

// work takes a batch of what the guest sends, and moves what is queued for it.
func (l *lane) work() (more bool) {
	l.moveQueue()
	var rec link.Record
	n, before := 0, l.e.count.sentBytes.Load()
	for ; n < maxBatch; n++ {
		ok, err := l.in.Next(&rec)
		if err != nil || !ok { // a link that is down ends Serve
			break
		}
		l.take(&rec)
	}
	if n > 0 {
		l.brief.Store(l.e.count.sentBytes.Load()-before <= briefly)
		l.in.Release()
	}
	return n == maxBatch
}

func (l *lane) take(rec *link.Record) {
	switch rec.Kind {
	case link.KindEpoch:
		l.agreed.Store(uint64(rec.Features))
	case link.KindFrame:
		l.e.count.sentFrames.Add(1)
		l.e.count.sentBytes.Add(uint64(len(rec.Payload)))
		l.deliver(rec.Net, rec.Payload)
	}
}

func (l *lane) features() link.Features { return link.Features(l.agreed.Load()) }

// close drops what is left. Afterwards nobody touches the ring.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for _, pkt := range l.queue {
		pkt.DecRef()
	}
	l.queue = nil
	if l.late != nil {
		l.late.DecRef()
		l.late = nil
	}
}
