//go:build linux

package fs

import (
	"context"

	"github.com/voidbox-run/voidbox/link"
)

// takeReplies gives the guest the plugin's replies, until ctx ends or the link goes down. An error is the driver's.
func (s *server) takeReplies(ctx context.Context) error {
	var rec link.Record
	for {
		for n, bytes := 0, 0; n < batch && bytes < batchBytes; n++ {
			ok, err := s.in.Next(&rec)
			if err != nil {
				return s.publish()
			}
			if !ok {
				break
			}
			s.reply(&rec)
			bytes += len(rec.Payload)
		}
		if err := s.publish(); err != nil {
			return err
		}
		// Wait returns the credits, and comes back at once if there is more.
		if err := s.in.Wait(ctx); err != nil {
			s.unplugged(ctx, err)
			return nil
		}
	}
}

// reply answers the request of the record's tag, which the link has found to be live.
func (s *server) reply(rec *link.Record) {
	r := s.find(rec.Tag)
	if r == nil {
		return
	}
	n := len(rec.Payload)
	h, ok := readReply(rec.Payload, r.unique)
	// The room was that of the chain. It may have become smaller if the chain was adopted since.
	if ok && n <= r.chain.Writable.Len() {
		r.chain.Writable.CopyFrom(h[:], 0)
		r.chain.Writable.CopyFrom(rec.Payload[outHeaderSize:], outHeaderSize)
		s.d.count.replies.Add(1)
		s.d.count.replyBytes.Add(uint64(n))
	} else {
		n = writeError(&r.chain, r.unique)
		s.d.count.badReplies.Add(1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.q.Push(&r.chain, n)
	s.settle(r)
}

// find returns the request that waits for a reply with the tag. Until it is settled it is the replier's.
func (s *server) find(tag link.Tag) *request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := &s.lane.slots[tag.Slot()]; r.live {
		return r
	}
	return nil
}
