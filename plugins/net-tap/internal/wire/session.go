//go:build linux

package wire

import (
	"context"

	"github.com/voidbox-run/voidbox/internal/tap"
	"github.com/voidbox-run/voidbox/link"
)

// session is one link, as long as it is up. Everything but run is called by the mover's goroutine.
type session struct {
	a      *attachment
	link   *link.Link
	used   []bool        // lane: the guest has sent on it in this epoch
	agreed link.Features // that the guest's driver has accepted
}

func newSession(a *attachment, l *link.Link) *session {
	return &session{a: a, link: l, used: make([]bool, l.Lanes())}
}

// run carries frames until the link goes down, which is its error, the device is gone, or ctx ends.
func (s *session) run(ctx context.Context) error {
	s.setOffloads(0)
	s.a.setCarrier(true)
	defer s.a.setCarrier(false)
	m := tap.Mover{Queues: s.a.dev.Queues, Link: s.link, Lane: s.lane, Keep: s.forGuest, Down: s.fromGuest}
	return m.Run(ctx)
}

// lane returns where frames of queue i go.
func (s *session) lane(i int) int {
	if i < len(s.used) && s.used[i] {
		return i
	}
	return 0
}

// forGuest tells whether the guest's driver can take a frame.
func (s *session) forGuest(h link.NetHeader, length int) bool {
	c := &s.a.count
	if h.Check(length, s.agreed, link.TowardsGuest) != nil {
		c.notAccepted.Add(1)
		return false
	}
	c.receivedFrames.Add(1)
	c.receivedBytes.Add(uint64(length))
	return true
}

// fromGuest takes a record of the monitor's.
func (s *session) fromGuest(lane int, rec *link.Record) error {
	switch rec.Kind {
	case link.KindEpoch:
		s.used[lane] = false
		if lane == 0 {
			s.setOffloads(rec.Features)
		}
	case link.KindFrame:
		return s.send(lane, rec)
	}
	return nil
}

// setOffloads agrees on what the kernel may leave undone. A kernel that cannot leave something undone leaves less.
func (s *session) setOffloads(f link.Features) {
	s.agreed = f
	if err := s.a.dev.Queues[0].SetOffloads(f); err != nil {
		_ = s.a.dev.Queues[0].SetOffloads(0)
	}
}

func (s *session) send(lane int, rec *link.Record) error {
	s.used[lane] = true
	c := &s.a.count
	c.sentFrames.Add(1)
	c.sentBytes.Add(uint64(len(rec.Payload)))
	if rec.Net.Check(len(rec.Payload), s.agreed, link.TowardsNetwork) != nil {
		c.badOffload.Add(1)
		return nil
	}
	taken, err := s.a.dev.Queues[lane].Write(rec.Net, rec.Payload)
	if err == nil && !taken {
		c.refused.Add(1)
	}
	return err
}
