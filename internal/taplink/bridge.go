//go:build linux

package taplink

import (
	"context"
	"errors"
	"sync"

	"github.com/voidbox-run/voidbox/internal/tap"
	"github.com/voidbox-run/voidbox/link"
)

// Ask is what to dial a network plugin with.
func Ask() link.Ask {
	return link.Ask{Purpose: link.Frames, Lanes: 1, Features: link.NetFeatures}
}

// Bridge carries frames between a TAP and lane 0 of a link until the link goes down, which is its error, or ctx ends.
func Bridge(ctx context.Context, q *tap.Queue, l *link.Link) error {
	return BridgeBadly(ctx, q, l, Impairment{})
}

// BridgeBadly is Bridge by a bad wire, in both directions.
func BridgeBadly(ctx context.Context, q *tap.Queue, l *link.Link, how Impairment) error {
	if err := errors.Join(q.SetOffloads(l.Features()), l.NewEpoch(l.Features())); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var ends sync.WaitGroup
	var up, down error
	ends.Go(func() {
		defer cancel()
		if how == (Impairment{}) {
			only := tap.NewOutlet(l.Lane(0).Out)
			up = (&tap.Receiver{Queue: q, To: func() *tap.Outlet { return only }}).Run(ctx)
		} else {
			up = toLinkBadly(ctx, q, l.Lane(0).Out, how)
		}
	})
	ends.Go(func() {
		defer cancel()
		down = toTap(ctx, q, l.Lane(0).In, how)
	})
	ends.Wait()
	if err := l.Err(); err != nil {
		return err
	}
	return errors.Join(up, down)
}

// toLinkBadly copies each frame, since it may be needed twice.
func toLinkBadly(ctx context.Context, q *tap.Queue, out *link.Writer, how Impairment) error {
	defer q.InterruptedBy(ctx)()
	w := newWire(how, func(h link.NetHeader, frame []byte) error { return send(ctx, out, h, frame) })
	frame := make([]byte, tap.MaxFrame)
	for {
		h, n, err := q.Read(frame)
		if err != nil {
			return err
		}
		if err := w.carry(h, frame[:n]); err != nil {
			return err
		}
	}
}

// toTap writes frames to the TAP.
func toTap(ctx context.Context, q *tap.Queue, in *link.Reader, how Impairment) error {
	w := newWire(how, func(h link.NetHeader, frame []byte) error {
		_, err := q.Write(h, frame)
		return err
	})
	var rec link.Record
	for {
		ok, err := in.Next(&rec)
		if err == nil && !ok {
			err = in.Wait(ctx)
		}
		if err != nil {
			return err
		}
		if !ok || len(rec.Payload) == 0 {
			continue
		}
		if err := w.carry(rec.Net, rec.Payload); err != nil {
			return err
		}
	}
}
