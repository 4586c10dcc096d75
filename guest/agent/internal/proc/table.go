package proc

import (
	"errors"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"

	"syscall"
)

// Table knows every child that runs. There is one in a process: it collects all children, so nothing else may start any
// while it is open.
type Table struct {
	// life is held shared to start or signal a child, exclusively to reap.
	life sync.RWMutex

	mu       sync.Mutex // guards what follows
	children map[int]*Child
	reaped   chan struct{} // closed and replaced after every round of the reaper that found something

	signals chan os.Signal
	stop    chan struct{}
	stopped chan struct{}
}

// Child is a process that the table started.
type Child struct {
	PID    int
	done   chan struct{}
	status syscall.WaitStatus
	usage  syscall.Rusage
}

// Done is closed once the child has ended and been reaped.
func (c *Child) Done() <-chan struct{} { return c.done }

// Status says how the child ended. It may be called after Done is closed.
func (c *Child) Status() (syscall.WaitStatus, syscall.Rusage) { return c.status, c.usage }

// NewTable starts the reaper. Close ends it.
func NewTable() *Table {
	t := &Table{
		children: map[int]*Child{},
		reaped:   make(chan struct{}),
		signals:  make(chan os.Signal, 1),
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	signal.Notify(t.signals, unix.SIGCHLD)
	go t.reap()
	return t
}

// Close stops reaping and waits for the reaper to end. Children that still run are left alone.
func (t *Table) Close() {
	signal.Stop(t.signals)
	close(t.stop)
	<-t.stopped
}

// Reaped returns a channel that is closed when next a child or an orphan has been collected.
func (t *Table) Reaped() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reaped
}

// Running returns the children that have not ended.
func (t *Table) Running() []*Child {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]*Child, 0, len(t.children))
	for _, c := range t.children {
		list = append(list, c)
	}
	return list
}

func (t *Table) reap() {
	defer close(t.stopped)
	for {
		t.collect()
		select {
		case <-t.signals:
		case <-t.stop:
			return
		}
	}
}

// collect takes every zombie there is. SIGCHLD is not queued, so one signal may stand for many.
func (t *Table) collect() {
	t.life.Lock()
	defer t.life.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	found := false
	for {
		var status syscall.WaitStatus
		var usage syscall.Rusage
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, &usage)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			break
		}
		if !status.Exited() && !status.Signaled() {
			continue
		}
		found = true
		if c, ours := t.children[pid]; ours {
			delete(t.children, pid)
			c.status, c.usage = status, usage
			close(c.done)
		}
	}
	if found {
		close(t.reaped)
		t.reaped = make(chan struct{})
	}
}

// Signal sends sig to the child's process group, or to the child alone where it does not lead one. A child that has ended
// is left alone.
func (t *Table) Signal(c *Child, sig syscall.Signal) error {
	t.life.RLock()
	defer t.life.RUnlock()
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
