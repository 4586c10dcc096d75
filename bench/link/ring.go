//go:build linux

package main

import (
	"context"
	"errors"

	"github.com/voidbox-run/voidbox/internal/fdpass"
	"github.com/voidbox-run/voidbox/link"
)

// batch is how many records are published at once, about what a virtqueue holds after a kick.
const batch = 32

// linkSide is the device's end of a link.
type linkSide struct {
	ctx  context.Context
	l    *link.Link
	out  *link.Writer
	in   *link.Reader
	peer *process
	copy []byte
}

func newLinkSide(ctx context.Context) (*linkSide, error) {
	conn, p, err := startWithSocket(ctx, "link")
	if err != nil {
		return nil, err
	}
	l, err := link.Connect(ctx, conn, link.Ask{Purpose: link.Frames, Lanes: 1})
	if err != nil {
		return nil, err
	}
	lane := l.Lane(0)
	return &linkSide{ctx: ctx, l: l, out: lane.Out, in: lane.In, peer: p, copy: make([]byte, 64<<10)}, nil
}

func (s *linkSide) send(b []byte, n int) error {
	for i := range n {
		b[0] = opSink
		if i == n-1 {
			b[0] = opDone
		}
		if err := write(s.ctx, s.out, b); err != nil {
			return err
		}
		if i%batch == batch-1 {
			if err := s.out.Publish(); err != nil {
				return err
			}
		}
	}
	return s.answer()
}

func (s *linkSide) echo(b []byte) error {
	b[0] = opEcho
	if err := write(s.ctx, s.out, b); err != nil {
		return err
	}
	return s.answer()
}

// answer publishes and copies one record out.
func (s *linkSide) answer() error {
	if err := s.out.Publish(); err != nil {
		return err
	}
	var rec link.Record
	for {
		ok, err := s.in.Next(&rec)
		if err != nil {
			return err
		}
		if ok {
			copy(s.copy, rec.Payload)
			s.in.Release()
			return nil
		}
		if err := s.in.Wait(s.ctx); err != nil {
			return err
		}
	}
}

func (s *linkSide) close() {
	s.l.Close()
	s.peer.stop()
}

// write copies b into the ring, waiting for room.
func write(ctx context.Context, w *link.Writer, b []byte) error {
	buf, err := w.TryReserve(link.KindFrame, len(b))
	for errors.Is(err, link.ErrFull) {
		if err := w.Wait(ctx, link.KindFrame, len(b)); err != nil {
			return err
		}
		buf, err = w.TryReserve(link.KindFrame, len(b))
	}
	if err != nil {
		return err
	}
	copy(buf, b)
	w.CommitFrame(link.NetHeader{}, len(b))
	return nil
}

// serveLink is the plugin's end.
func serveLink(ctx context.Context) error {
	conn, err := fdpass.Conn(firstFile)
	if err != nil {
		return err
	}
	l, err := link.Offer(ctx, conn, link.Terms{Purpose: link.Frames})
	if err != nil {
		return err
	}
	defer l.Close()
	err = answerRecords(ctx, l.Lane(0))
	if errors.Is(err, link.ErrPeerGone) {
		return nil
	}
	return err
}

func answerRecords(ctx context.Context, lane *link.Lane) error {
	b := make([]byte, 64<<10)
	var rec link.Record
	for taken := 0; ; {
		ok, err := lane.In.Next(&rec)
		if err != nil {
			return err
		}
		if !ok {
			taken = 0
			if err := lane.Out.Publish(); err != nil {
				return err
			}
			if err := lane.In.Wait(ctx); err != nil {
				return err
			}
			continue
		}
		n := copy(b, rec.Payload)
		if taken++; taken%batch == 0 {
			lane.In.Release()
		}
		switch b[0] {
		case opDone:
			err = write(ctx, lane.Out, b[:1])
		case opEcho:
			err = write(ctx, lane.Out, b[:n])
		}
		if err != nil {
			return err
		}
	}
}
