package plugintest

import "sync"

// countingWriter counts what is written to it.
type countingWriter struct {
	mu   sync.Mutex
	n    int
	more chan struct{} // closed with the next write; nil when nobody waits
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n += len(p)
	if w.more != nil {
		close(w.more)
		w.more = nil
	}
	return len(p), nil
}

// count returns the number of bytes so far.
func (w *countingWriter) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// awaitGrowth returns after the next write.
func (w *countingWriter) awaitGrowth(s *vmmSession) {
	s.Helper()
	w.mu.Lock()
	if w.more == nil {
		w.more = make(chan struct{})
	}
	more := w.more
	w.mu.Unlock()
	select {
	case <-more:
	case <-s.ctx.Done():
		s.Fatalf("the guest does not go on\nconsole:\n%s", s.console())
	}
}
