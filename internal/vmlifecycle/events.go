package vmlifecycle

import (
	"context"
	"sync"

	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// Events keeps every event, since a watcher is told from the first one on. They are few where a monitor lets the guest cause
// each kind but once, and the rest is asked for.
type Events struct {
	mu     sync.Mutex
	events []vmm.Event
	more   chan struct{} // closed when there is another event
}

// NewEvents returns a log without events.
func NewEvents() *Events { return &Events{more: make(chan struct{})} }

// Add appends e; nothing follows Stopped.
func (l *Events) Add(e vmm.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.events); n > 0 && l.events[n-1].Kind == vmm.Stopped {
		return
	}
	l.events = append(l.events, e)
	close(l.more)
	l.more = make(chan struct{})
}

// Has tells whether there was an event of a kind.
func (l *Events) Has(kind vmm.EventKind) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Kind == kind {
			return true
		}
	}
	return false
}

// Watch calls fn with every event and returns after Stopped.
func (l *Events) Watch(ctx context.Context, fn func(vmm.Event) error) error {
	for n := 0; ; {
		l.mu.Lock()
		pending, more := l.events[n:], l.more
		l.mu.Unlock()
		for _, e := range pending {
			n++
			if err := fn(e); err != nil || e.Kind == vmm.Stopped {
				return err
			}
		}
		if len(pending) > 0 {
			continue
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
