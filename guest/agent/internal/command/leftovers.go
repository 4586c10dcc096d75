package command

import (
	"io"
	"os"
	"sync"
)

// leftovers reads on, into nothing, what processes write that outlived their command.
type leftovers struct {
	mu     sync.Mutex
	open   map[*os.File]struct{}
	closed bool
	wg     sync.WaitGroup
}

func (l *leftovers) adopt(r *os.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = r.Close()
		return
	}
	if l.open == nil {
		l.open = map[*os.File]struct{}{}
	}
	l.open[r] = struct{}{}
	l.wg.Go(func() {
		_, _ = io.Copy(io.Discard, r)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, r)
		_ = r.Close()
	})
}

func (l *leftovers) close() {
	l.mu.Lock()
	l.closed = true
	for r := range l.open {
		_ = r.Close()
	}
	l.mu.Unlock()
	l.wg.Wait()
}
