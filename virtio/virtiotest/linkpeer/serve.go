//go:build linux

package linkpeer

import (
	"context"
	"errors"
	"sync"

	"github.com/voidbox-run/voidbox/link"
)

// serve hands the records of all lanes to answer, until the link goes down, and waits for its goroutines. What answer needs to
// write it does with reserve.
func serve(l *link.Link, answer func(*link.Record, *link.Writer) error) {
	var lanes sync.WaitGroup
	for i := range l.Lanes() {
		lanes.Go(func() {
			in, out := l.Lane(i).In, l.Lane(i).Out
			for rec := (link.Record{}); ; {
				ok, err := in.Next(&rec)
				switch {
				case err != nil:
				case ok && rec.Kind != link.KindEpoch:
					err = answer(&rec, out)
				case !ok:
					if err = out.Publish(); err == nil {
						err = in.Wait(context.Background())
					}
				}
				if err != nil {
					_ = l.Break(err)
					return
				}
			}
		})
	}
	lanes.Wait()
}

// reserve waits for room for a payload. Devices always take what comes in the end, so reading may stand still meanwhile.
func reserve(out *link.Writer, kind link.Kind, n int) ([]byte, error) {
	buf, err := out.TryReserve(kind, n)
	if !errors.Is(err, link.ErrFull) {
		return buf, err
	}
	if err := out.Wait(context.Background(), kind, n); err != nil {
		return nil, err
	}
	return out.TryReserve(kind, n)
}
