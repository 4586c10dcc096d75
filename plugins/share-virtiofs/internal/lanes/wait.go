//go:build linux

package lanes

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/poll"
	"github.com/voidbox-run/voidbox/link"
)

// wait waits for a lane's next record without a hand-over between threads of the Go runtime, which is most of what a small request
// costs (internal/poll). It keeps a processor for a millisecond after each, so there must be one more than there are lanes with a
// wait: for requests that take their time, and for the plugin's own socket. Lane 0, of which nobody waits for an answer, has none.
type wait struct {
	poller *poll.Poller // closed when the link goes down
	events [2]unix.EpollEvent
	in     *link.Reader
}

func newWait(in *link.Reader) (*wait, error) {
	p, err := poll.New()
	if err != nil {
		return nil, err
	}
	if err := p.Add(in.Event(), unix.EPOLLIN, 0); err != nil {
		p.Free()
		return nil, err
	}
	return &wait{poller: p, in: in}, nil
}

// await returns when there may be a record. An error says that there will be none.
func (l *lane) await() error {
	if l.wait == nil {
		return l.in.Wait(context.Background())
	}
	l.in.Release() // before it looks, since the device may wait for room
	_, err := l.wait.poller.Wait(l.wait.events[:], l.wait, false)
	if errors.Is(err, poll.ErrClosed) {
		return l.link.Err()
	}
	return err
}

// Pending implements poll.Worker.
func (w *wait) Pending() bool { return w.in.Pending() }

// Arm implements poll.Worker.
func (w *wait) Arm() bool { return w.in.Arm() }

// Idle implements poll.Worker.
func (w *wait) Idle() {}
