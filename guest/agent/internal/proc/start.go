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
	t.life.RLock()
	defer t.life.RUnlock()
	if attr.Sys.Ptrace {
		// Only the thread that forked may let the child go.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	pid, err := syscall.ForkExec(s.Path, s.Args, attr)
	if err != nil {
		return nil, err
	}
	c := &Child{PID: pid, done: make(chan struct{})}
	t.mu.Lock()
	t.children[pid] = c
	t.mu.Unlock()
	if attr.Sys.Ptrace {
		if err := limit(pid, s.Limits); err != nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return nil, err
		}
	}
	return c, nil
}

// limit waits until the child stops at its exec, sets its limits and lets it go. The reaper cannot take the stop for an
// end, since the caller holds the table.
func limit(pid int, limits []Limit) error {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for exec: %w", err)
		}
	}
	const trapped = 4 // CLD_TRAPPED; anything else is an end, which the reaper will collect
	if info.Code != trapped {
		return nil
	}
	for _, l := range limits {
		rlimit := unix.Rlimit{Cur: l.Soft, Max: l.Hard}
		if err := unix.Prlimit(pid, l.Resource, &rlimit, nil); err != nil {
			return fmt.Errorf("set a resource limit: %w", err)
		}
	}
	return unix.PtraceDetach(pid)
}
