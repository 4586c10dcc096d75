package mock

import (
	"context"
	"io"
	"sync"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

var errNoMain = errdef.New(errdef.ErrNotFound, "the sandbox has no main process")

// mainProcess is the command that a sandbox was made for.
type mainProcess struct {
	output *record
	done   chan struct{}

	mu   sync.Mutex
	pid  int
	exit sandbox.Exit // valid once done
}

func (s *Sandbox) startMain() *mainProcess {
	m := &mainProcess{output: newRecord(), done: make(chan struct{})}
	started := make(chan struct{})
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		defer close(m.done)
		defer m.output.end()
		var once sync.Once
		defer once.Do(func() { close(started) })
		exit, err := s.run(s.ctx, sandbox.Command{Args: s.spec.Main}, sandbox.IO{
			Stdout: m.output.writer(false), Stderr: m.output.writer(true),
			Started: func(pid int) {
				m.mu.Lock()
				m.pid = pid
				m.mu.Unlock()
				once.Do(func() { close(started) })
			},
		})
		if err != nil {
			_, _ = io.WriteString(m.output.writer(true), err.Error()+"\n") // never fails
			exit = sandbox.Exit{Code: 127}
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.exit = exit
	}()
	<-started
	return m
}

func (m *mainProcess) wait(ctx context.Context) (sandbox.Exit, error) {
	select {
	case <-m.done:
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.exit, nil
	case <-ctx.Done():
		return sandbox.Exit{}, ctx.Err()
	}
}

func (m *mainProcess) state() sandbox.Main {
	m.mu.Lock()
	defer m.mu.Unlock()
	state := sandbox.Main{Defined: true, Running: true, PID: m.pid}
	select {
	case <-m.done:
		exit := m.exit
		state.Running, state.Exit = false, &exit
	default:
	}
	return state
}

// keep is how much output is kept.
const keep = 1 << 20

// record keeps the end of two outputs in the order in which they were written.
type record struct {
	mu      sync.Mutex
	pieces  []piece
	dropped int // pieces that are no longer there
	bytes   int
	ended   bool
	changed chan struct{} // closed and replaced at every change
}

type piece struct {
	stderr bool
	data   []byte
}

func newRecord() *record { return &record{changed: make(chan struct{})} }

func (r *record) writer(stderr bool) io.Writer { return recordWriter{r, stderr} }

type recordWriter struct {
	record *record
	stderr bool
}

// Write never fails and never waits.
func (w recordWriter) Write(b []byte) (int, error) {
	r := w.record
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pieces = append(r.pieces, piece{w.stderr, append([]byte(nil), b...)})
	r.bytes += len(b)
	for r.bytes > keep {
		first := &r.pieces[0]
		if over := r.bytes - keep; over < len(first.data) {
			first.data = first.data[over:]
			r.bytes -= over
			break
		}
		r.bytes -= len(first.data)
		r.pieces = r.pieces[1:]
		r.dropped++
	}
	r.announce()
	return len(b), nil
}

func (r *record) announce() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *record) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.announce()
}

// copy writes what is kept, and with follow what comes until the end.
func (r *record) copy(ctx context.Context, follow bool, stdout, stderr io.Writer) error {
	for next := 0; ; {
		r.mu.Lock()
		next = max(next, r.dropped)
		pieces := append([]piece(nil), r.pieces[next-r.dropped:]...)
		next += len(pieces)
		ended, changed := r.ended, r.changed
		r.mu.Unlock()
		for _, p := range pieces {
			w := stdout
			if p.stderr {
				w = stderr
			}
			if w == nil {
				continue
			}
			if _, err := w.Write(p.data); err != nil {
				return err
			}
		}
		if ended || !follow {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
