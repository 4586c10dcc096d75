package plugintest

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// vmmHistory is what a watcher was told.
type vmmHistory struct {
	mu     sync.Mutex
	events []vmm.Event
	more   chan struct{} // closed, and replaced, with each event
	ended  chan struct{} // closed when Watch has returned
	err    error         // of Watch
}

// watchVMM watches until the VM has stopped, which it has at the latest when the test ends.
func watchVMM(s *vmmSession) *vmmHistory {
	h := &vmmHistory{more: make(chan struct{}), ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(h.ended)
		h.err = s.Watch(ctx, func(e vmm.Event) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, e)
			close(h.more)
			h.more = make(chan struct{})
			return nil
		})
	}()
	s.Cleanup(func() {
		if err := s.Stop(context.Background(), 0); err != nil {
			s.Errorf("stop: %v", err)
		}
		cancel()
		<-h.ended
	})
	return h
}

// all returns the events so far.
func (h *vmmHistory) all() []vmm.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// await returns the first event of a kind.
func (h *vmmHistory) await(s *vmmSession, kind vmm.EventKind) vmm.Event {
	s.Helper()
	for {
		h.mu.Lock()
		events, more := h.events, h.more
		h.mu.Unlock()
		for _, e := range events {
			if e.Kind == kind {
				return e
			}
		}
		select {
		case <-more:
		case <-h.ended:
			s.Fatalf("no event %q: the watch has ended with %v after %v", kind, h.err, kinds(events))
		case <-s.ctx.Done():
			s.Fatalf("no event %q; there were %v\nconsole:\n%s", kind, kinds(events), s.console())
		}
	}
}

// wantEnd waits for the end and demands the events that came between Started and Stopped.
func (h *vmmHistory) wantEnd(s *vmmSession, want ...vmm.EventKind) {
	s.Helper()
	select {
	case <-h.ended:
	case <-s.ctx.Done():
		s.Fatalf("the watch does not end; there were %v\nconsole:\n%s", kinds(h.all()), s.console())
	}
	if h.err != nil {
		s.Errorf("watch: %v", h.err)
	}
	want = append(append([]vmm.EventKind{vmm.Started}, want...), vmm.Stopped)
	if got := kinds(h.all()); !slices.Equal(got, want) {
		s.Errorf("events: %v, want %v", got, want)
	}
}

func kinds(events []vmm.Event) []vmm.EventKind {
	var out []vmm.EventKind
	for _, e := range events {
		out = append(out, e.Kind)
	}
	return out
}

// console returns what is kept of the console, for messages.
func (s *vmmSession) console() string {
	text, _ := s.readConsole()
	return text[max(0, len(text)-4<<10):]
}

// readConsole returns what is kept of the console, and how much was lost before.
func (s *vmmSession) readConsole() (text string, lost uint64) {
	var b strings.Builder
	err := s.Console(context.WithoutCancel(s.ctx), false, func(data []byte, n uint64) error {
		lost += n
		b.Write(data)
		return nil
	})
	if err != nil {
		return "console: " + err.Error(), 0
	}
	return b.String(), lost
}

// awaitConsole follows the console until it holds a text.
func (s *vmmSession) awaitConsole(text string) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var seen []byte
	found := false
	err := s.Console(ctx, true, func(data []byte, _ uint64) error {
		seen = append(seen, data...)
		if bytes.Contains(seen, []byte(text)) {
			found = true
			cancel()
		}
		seen = seen[max(0, len(seen)-len(text)):]
		return nil
	})
	if !found {
		s.Fatalf("%q is not on the console: %v\n%s", text, err, s.console())
	}
}

// limitedBuffer keeps the first part of what is written to it.
type limitedBuffer struct{ bytes.Buffer }

const limitedSize = 1 << 20

func (b *limitedBuffer) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), limitedSize-b.Len())])
	return len(p), nil
}
