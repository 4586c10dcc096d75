//go:build linux

package wire

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/voidbox-run/voidbox/internal/tap"
	"github.com/voidbox-run/voidbox/link"
)

// session is one link, as long as it is up.
type session struct {
	a     *attachment
	link  *link.Link
	lanes []*lane
	// agreed are the link.Features that the guest's driver has accepted.
	agreed atomic.Uint64
}

// lane is one queue pair.
type lane struct {
	queue *tap.Queue
	in    *link.Reader
	out   *tap.Outlet
	used  atomic.Bool // the guest has sent on it in this epoch
}

func newSession(a *attachment, l *link.Link) *session {
	s := &session{a: a, link: l}
	for i := range l.Lanes() {
		s.lanes = append(s.lanes, &lane{queue: a.dev.Queues[i], in: l.Lane(i).In, out: tap.NewOutlet(l.Lane(i).Out)})
	}
	return s
}

// run carries frames until the link goes down, which is its error, the device is gone, or ctx ends.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.setOffloads(0)
	s.a.setCarrier(true)
	defer s.a.setCarrier(false)
	var ends sync.WaitGroup
	for _, l := range s.lanes {
		ends.Go(func() { cancel(s.fromGuest(ctx, l)) })
	}
	for i, q := range s.a.dev.Queues {
		r := tap.Receiver{Queue: q, To: func() *tap.Outlet { return s.outlet(i) }, Keep: s.forGuest}
		ends.Go(func() { cancel(r.Run(ctx)) })
	}
	ends.Wait()
	return context.Cause(ctx)
}

// outlet returns where frames of queue i go.
func (s *session) outlet(i int) *tap.Outlet {
	if i < len(s.lanes) && s.lanes[i].used.Load() {
		return s.lanes[i].out
	}
	return s.lanes[0].out
}

// forGuest tells whether the guest's driver can take a frame.
func (s *session) forGuest(h link.NetHeader, length int) bool {
	c := &s.a.count
	if err := h.Check(length, link.Features(s.agreed.Load()), link.TowardsGuest); err != nil {
		c.notAccepted.Add(1)
		return false
	}
	c.receivedFrames.Add(1)
	c.receivedBytes.Add(uint64(length))
	return true
}

// fromGuest moves what the guest sends to the device.
func (s *session) fromGuest(ctx context.Context, l *lane) error {
	var rec link.Record
	for {
		ok, err := l.in.Next(&rec)
		if err == nil && !ok {
			err = l.in.Wait(ctx)
		}
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		switch rec.Kind {
		case link.KindEpoch:
			s.restarted(l, rec.Features)
		case link.KindFrame:
			if err := s.send(l, &rec); err != nil {
				return err
			}
		}
	}
}

// restarted begins an epoch of a lane.
func (s *session) restarted(l *lane, f link.Features) {
	l.used.Store(false)
	if l == s.lanes[0] {
		s.setOffloads(f)
	}
}

// setOffloads agrees on what the kernel may leave undone. A kernel that cannot leave something undone leaves less.
func (s *session) setOffloads(f link.Features) {
	s.agreed.Store(uint64(f))
	if err := s.a.dev.Queues[0].SetOffloads(f); err != nil {
		_ = s.a.dev.Queues[0].SetOffloads(0)
	}
}

func (s *session) send(l *lane, rec *link.Record) error {
	if !l.used.Load() {
		l.used.Store(true)
	}
	c := &s.a.count
	c.sentFrames.Add(1)
	c.sentBytes.Add(uint64(len(rec.Payload)))
	if rec.Net.Check(len(rec.Payload), link.Features(s.agreed.Load()), link.TowardsNetwork) != nil {
		c.badOffload.Add(1)
		return nil
	}
	taken, err := l.queue.Write(rec.Net, rec.Payload)
	if err == nil && !taken {
		c.refused.Add(1)
	}
	return err
}
