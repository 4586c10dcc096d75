//go:build linux

package taplink

import (
	"context"
	"errors"

	"github.com/voidbox-run/voidbox/internal/tap"
	"github.com/voidbox-run/voidbox/link"
)

// Ask is what to dial a network plugin with.
func Ask() link.Ask {
	return link.Ask{Purpose: link.Frames, Lanes: 1, Features: link.NetFeatures}
}

// Bridge carries frames between a TAP and lane 0 of a link until the link goes down, which is its error, or ctx ends.
func Bridge(ctx context.Context, q *tap.Queue, l *link.Link) error {
	return bridge(ctx, l, &tap.Mover{Queues: []*tap.Queue{q}, Link: l})
}

// BridgeBy is Bridge by a wire that may be a bad one, in both directions.
func BridgeBy(ctx context.Context, q *tap.Queue, l *link.Link, w *Wire) error {
	up, down := direction{wire: w}, direction{wire: w}
	return bridge(ctx, l, &tap.Mover{
		Queues: []*tap.Queue{q}, Link: l,
		Up: func(h link.NetHeader, frame []byte, put func(link.NetHeader, []byte)) error {
			up.carry(h, frame, put)
			return nil
		},
		Down: func(_ int, rec *link.Record) error {
			var err error
			down.carry(rec.Net, rec.Payload, func(h link.NetHeader, frame []byte) {
				_, werr := q.Write(h, frame)
				err = errors.Join(err, werr)
			})
			return err
		},
	})
}

func bridge(ctx context.Context, l *link.Link, m *tap.Mover) error {
	if err := errors.Join(m.Queues[0].SetOffloads(l.Features()), l.NewEpoch(l.Features())); err != nil {
		return err
	}
	return m.Run(ctx)
}
