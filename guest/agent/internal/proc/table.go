package proc

import (
	"errors"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Table knows every child that runs. There is one in a process: it collects all children, so nothing else may start any
// while it is open.
type Table struct {
	mu       sync.Mutex // held to collect and to signal, never across a fork
	children map[int]*Child
	starts   uint64              // number of the last start that began
	pending  map[uint64]struct{} // starts under way
	early    map[int]early       // collected, and perhaps the child of a start under way
	reaped   chan struct{}       // closed and replaced after every round that found something
	closed   bool
	idle     bool          // the reaper has nothing to wait for
	started  chan struct{} // wakes an idle reaper
	stopped  chan struct{}
}

// report is what the kernel says of a child: its end, or its stop at exec.
type report struct {
	status syscall.WaitStatus
	usage  syscall.Rusage
}

// early is a report that came when the last start to begin was number after.
type early struct {
	report
	after uint64
}

// Child is a process that the table started.
type Child struct {
	PID     int
	trapped chan struct{} // closed when it has stopped at its exec, if it is traced
	done    chan struct{}
	end     report
}

// Done is closed once the child has ended and been reaped.
func (c *Child) Done() <-chan struct{} { return c.done }

// Status says how the child ended. It may be called after Done is closed.
func (c *Child) Status() (syscall.WaitStatus, syscall.Rusage) { return c.end.status, c.end.usage }

// NewTable starts the reaper. Close ends it.
func NewTable() *Table {
	t := &Table{
		children: map[int]*Child{},
		pending:  map[uint64]struct{}{},
		early:    map[int]early{},
		reaped:   make(chan struct{}),
		started:  make(chan struct{}, 1),
		stopped:  make(chan struct{}),
	}
	go t.reap()
	return t
}

// Close ends the reaper: at once where nothing runs, else with the next process that ends. Either way it collects nothing any
// more, so that another table may be opened.
func (t *Table) Close() {
	t.mu.Lock()
	t.closed = true
	idle := t.idle
	t.mu.Unlock()
	t.wake()
	if idle {
		<-t.stopped
	}
}

func (t *Table) wake() {
	select {
	case t.started <- struct{}{}:
	default:
	}
}

// Reaped returns a channel that is closed when next a child or an orphan has been collected.
func (t *Table) Reaped() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reaped
}

// reap waits in the kernel while there is anything to wait for, which is quicker than to be told by SIGCHLD. No children
// means no descendants either, since orphans become children; so an idle reaper need only be woken by a start.
func (t *Table) reap() {
	defer close(t.stopped)
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			t.collect()
		}
		idle, closed := t.rest(errors.Is(err, unix.ECHILD))
		if closed {
			return
		}
		if idle {
			<-t.started
		}
	}
}

// rest notes whether the reaper is idle. A child that has become known since it last asked the kernel keeps it going; one
// that becomes known later wakes it.
func (t *Table) rest(none bool) (idle, closed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle = none && len(t.children) == 0
	return t.idle, t.closed
}

// collect takes every report there is. A table that is closed takes none: a reaper that still sleeps in the kernel would else
// wake up to the children of the next table, and swallow what that waits for.
func (t *Table) collect() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	found := false
	for {
		var r report
		pid, err := syscall.Wait4(-1, &r.status, syscall.WNOHANG, &r.usage)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			break
		}
		found = true
		if c, ours := t.children[pid]; ours {
			t.tell(c, r)
		} else if len(t.pending) > 0 {
			t.early[pid] = early{r, t.starts}
		}
	}
	if found {
		close(t.reaped)
		t.reaped = make(chan struct{})
	}
}

// tell passes a report on to the child that it is about.
func (t *Table) tell(c *Child, r report) {
	if r.status.Stopped() {
		c.trap()
		return
	}
	delete(t.children, c.PID)
	c.end = r
	close(c.done)
}

func (c *Child) trap() {
	select {
	case <-c.trapped:
	default:
		close(c.trapped)
	}
}

// begin announces a start, so that reports of its child are kept for it.
func (t *Table) begin() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.starts++
	t.pending[t.starts] = struct{}{}
	return t.starts
}

// finish ends start number n. Where it made a child, the child is known from here on.
func (t *Table) finish(n uint64, c *Child) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.pending, n)
	if c != nil {
		t.children[c.PID] = c
		if e, known := t.early[c.PID]; known {
			t.tell(c, e.report)
		}
	}
	if t.idle {
		t.idle = false // it will be in the kernel before long, where Close could not reach it
		t.wake()
	}
	t.forget()
}

// forget drops the reports that no start under way can ask for.
func (t *Table) forget() {
	if len(t.early) == 0 {
		return
	}
	oldest := t.starts + 1
	for n := range t.pending {
		oldest = min(oldest, n)
	}
	for pid, e := range t.early {
		if e.after < oldest {
			delete(t.early, pid)
		}
	}
}

// Signal sends sig to the child's process group, or to the child alone where it does not lead one. A child that has ended
// is left alone.
func (t *Table) Signal(c *Child, sig syscall.Signal) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-c.done:
		return nil
	default:
	}
	err := syscall.Kill(-c.PID, sig)
	if errors.Is(err, syscall.ESRCH) {
		err = syscall.Kill(c.PID, sig)
	}
	return err
}
