package monitor

import (
	"context"
	"sync"

	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// eventLog keeps every event, since a watcher is told from the first one on. There are few: the guest can cause each kind but
// once, and the rest is asked for.
type eventLog struct {
	mu     sync.Mutex
	events []vmm.Event
	more   chan struct{} // closed when there is another event
}

func newEventLog() *eventLog { return &eventLog{more: make(chan struct{})} }

// add appends e; nothing follows Stopped.
func (l *eventLog) add(e vmm.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.events); n > 0 && l.events[n-1].Kind == vmm.Stopped {
		return
	}
	l.events = append(l.events, e)
	close(l.more)
	l.more = make(chan struct{})
}

// has tells whether there was an event of a kind.
func (l *eventLog) has(kind vmm.EventKind) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Kind == kind {
			return true
		}
	}
	return false
}

// watch calls fn with every event and returns after Stopped.
func (l *eventLog) watch(ctx context.Context, fn func(vmm.Event) error) error {
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
