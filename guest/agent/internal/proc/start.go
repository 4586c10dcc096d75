package proc

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec describes a child. It leads a session, and thereby a process group, of its own.
type Spec struct {
	Path       string // program; not looked up
	Args       []string
	Env        []string
	Dir        string
	Files      [3]uintptr          // descriptors 0, 1 and 2 of the child
	Terminal   bool                // descriptor 0 is a terminal, which becomes the controlling one
	Credential *syscall.Credential // nil keeps the agent's own
	CgroupFD   int                 // directory of the cgroup that it starts in; negative means the agent's own
	Limits     []Limit
}

// Limit is a resource limit.
type Limit struct {
	Resource   int // unix.RLIMIT_*
	Soft, Hard uint64
}

// Start runs a program. The error is the errno of whatever failed, fork or exec.
func (t *Table) Start(s Spec) (*Child, error) {
	attr := &syscall.ProcAttr{
		Dir:   s.Dir,
		Env:   s.Env,
		Files: s.Files[:],
		Sys: &syscall.SysProcAttr{
			Setsid:      true,
			Setctty:     s.Terminal,
			Credential:  s.Credential,
			UseCgroupFD: s.CgroupFD >= 0,
			CgroupFD:    max(s.CgroupFD, 0),
			Ptrace:      len(s.Limits) > 0,
		},
	}
	for wait := time.Millisecond; ; wait *= 2 {
		c, err := t.start(s, attr)
		// A program that was written a moment ago looks busy while another child, between its fork and its exec, still holds
		// the descriptor of the write.
		if !errors.Is(err, syscall.ETXTBSY) || wait > 100*time.Millisecond {
			return c, err
		}
		time.Sleep(wait)
	}
}

func (t *Table) start(s Spec, attr *syscall.ProcAttr) (*Child, error) {
	if attr.Sys.Ptrace {
		// Only the thread that forked may let the child go.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	number := t.begin()
	pid, err := syscall.ForkExec(s.Path, s.Args, attr)
	if err != nil {
		t.finish(number, nil)
		return nil, err
	}
	c := &Child{PID: pid, trapped: make(chan struct{}), done: make(chan struct{})}
	t.finish(number, c)
	if !attr.Sys.Ptrace {
		return c, nil
	}
	if err := t.limit(c, s.Limits); err != nil {
		_ = t.Signal(c, syscall.SIGKILL)
		return nil, err
	}
	return c, nil
}

// limit waits until the child stops at its exec, sets its limits and lets it go.
func (t *Table) limit(c *Child, limits []Limit) error {
	select {
	case <-c.trapped:
	case <-c.done:
		return nil // killed before it came to run
	}
	for _, l := range limits {
		rlimit := unix.Rlimit{Cur: l.Soft, Max: l.Hard}
		if err := unix.Prlimit(c.PID, l.Resource, &rlimit, nil); err != nil {
			return c.unlessEnded(fmt.Errorf("set a resource limit: %w", err))
		}
	}
	if err := unix.PtraceDetach(c.PID); err != nil {
		return c.unlessEnded(fmt.Errorf("let the command go: %w", err))
	}
	return nil
}

// unlessEnded forgives what is due to the child having been killed meanwhile.
func (c *Child) unlessEnded(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
