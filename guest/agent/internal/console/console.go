// Package console is where the agent's log goes: standard error, which is the machine's console for PID 1.
//
// A console is slow, and a terminal that nobody reads may block its writer for good; the kernel's own log is no way out,
// since it ends on the same terminal and an agent that writes to both can lock itself up. So lines go through a short queue
// to one writer, what a full queue or too high a rate leaves no room for is dropped and counted, and logging never waits.
package console

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	queue   = 256 // lines
	perTick = 50  // lines
	tick    = time.Second
)

// Console writes lines.
type Console struct {
	w       io.Writer
	lines   chan []byte
	stopped chan struct{}

	mu      sync.Mutex
	since   time.Time
	count   int
	dropped int
	closed  bool
}

// New starts the writer. Close ends it.
func New(w io.Writer) *Console {
	c := &Console{w: w, lines: make(chan []byte, queue), stopped: make(chan struct{})}
	go c.run()
	return c
}

func (c *Console) run() {
	defer close(c.stopped)
	for line := range c.lines {
		_, _ = c.w.Write(line)
	}
}

// Close writes what is queued, but does not wait for a console that takes nothing.
func (c *Console) Close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.lines)
	}
	c.mu.Unlock()
	select {
	case <-c.stopped:
	case <-time.After(tick):
	}
}

// Write queues one line, or drops it.
func (c *Console) Write(line []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.allow(time.Now()) {
		c.dropped++
		return len(line), nil
	}
	if c.dropped > 0 && c.put(fmt.Appendf(nil, "voidbox: %d lines of the log were dropped\n", c.dropped)) {
		c.dropped = 0
	}
	if !c.put(append([]byte(nil), line...)) {
		c.dropped++
	}
	return len(line), nil
}

func (c *Console) allow(now time.Time) bool {
	if now.Sub(c.since) >= tick {
		c.since, c.count = now, 0
	}
	c.count++
	return c.count <= perTick
}

func (c *Console) put(line []byte) bool {
	select {
	case c.lines <- line:
		return true
	default:
		return false
	}
}

// Line writes a line that begins with no time and no level.
func (c *Console) Line(text string) { _, _ = c.Write([]byte(text + "\n")) }

// Logger logs to the console. The time is left out: the kernel and the host add theirs.
func (c *Console) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(prefix{c}, &slog.HandlerOptions{ReplaceAttr: dropTime}))
}

func dropTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

type prefix struct{ c *Console }

func (p prefix) Write(line []byte) (int, error) {
	_, err := p.c.Write(append([]byte("voidbox: "), line...))
	return len(line), err
}
