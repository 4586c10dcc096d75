package shell

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/programs"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// maxProcesses bounds what runs in one machine.
const maxProcesses = 1024

// Killed is the cause of a process's end: a signal's number.
type Killed int

func (k Killed) Error() string { return "killed by SIG" + sandbox.SignalName(int(k)) }

// Process is a running program, or a subshell.
type Process struct {
	PID, PPID int
	UID       uint32
	Args      []string // guarded by Machine.mu
	Start     time.Time
	Ctx       context.Context
	cancel    context.CancelCauseFunc

	command  *command
	parent   *Process // nil for the first of a command
	children int      // guarded by Machine.mu, as is finished
	finished bool

	clock  clock
	files  atomic.Int64 // open files
	memory memory
	fed    atomic.Bool // the next read gets its line from us, see read
}

// command is what all processes of one command have in common.
type command struct{ processes int } // guarded by Machine.mu

// Origin is where a process comes from.
type Origin struct {
	Parent int // a process that does not exist makes a new command
	UID    uint32
	Limits programs.Limits
}

// Start adds a process below ctx. The caller calls Finish.
func (m *Machine) Start(ctx context.Context, from Origin, args []string) (*Process, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	parent, group := m.processes[from.Parent], &command{}
	if parent != nil {
		group = parent.command
	}
	if limit := from.Limits.Processes; len(m.processes) >= maxProcesses || limit > 0 && uint64(group.processes) >= limit {
		return nil, fmt.Errorf("fork: %w", syscall.EAGAIN)
	}
	m.lastPID++
	p := &Process{PID: m.lastPID, PPID: from.Parent, UID: from.UID, Args: args, Start: time.Now(), command: group, parent: parent}
	p.Ctx, p.cancel = context.WithCancelCause(ctx)
	p.clock.start(from.Limits.CPUTime, func() { p.Kill(int(syscall.SIGXCPU)) })
	m.processes[p.PID] = p
	group.processes++
	if parent != nil {
		parent.children++
	}
	return p, nil
}

// Finish removes a process. Its context lives on when there are background jobs that outlive it.
func (m *Machine) Finish(p *Process) {
	p.clock.stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.finished {
		return
	}
	p.finished = true
	delete(m.processes, p.PID)
	p.command.processes--
	m.held -= p.memory.held
	for p != nil && p.finished && p.children == 0 {
		p.cancel(nil)
		if p = p.parent; p != nil {
			p.children--
		}
	}
}

// Kill ends the process, and its children with it, by a signal that ends processes. Others are ignored.
func (p *Process) Kill(signal int) {
	switch syscall.Signal(signal) {
	case 0, syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGURG, syscall.SIGWINCH:
		return
	}
	p.cancel(Killed(signal))
}

// Signal returns the signal that ended the process, 0 if none did.
func (p *Process) Signal() int {
	if k, ok := context.Cause(p.Ctx).(Killed); ok {
		return int(k)
	}
	return 0
}

// As is the user with what limits lets the process do with files.
func (p *Process) As(user memfs.User, limits programs.Limits) memfs.User {
	user.Quota = &memfs.Quota{OpenFiles: limits.OpenFiles, FileBytes: limits.FileBytes, Open: &p.files}
	return user
}

func (m *Machine) process(pid int) *Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.processes[pid]
}

// Kill implements programs.System.
func (m *Machine) Kill(by *programs.Proc, pid, signal int) error {
	p := m.process(pid)
	if p == nil {
		return syscall.ESRCH
	}
	if !by.User.Root && by.User.UID != p.UID {
		return syscall.EPERM
	}
	p.Kill(signal)
	return nil
}

// Wait implements programs.System.
func (m *Machine) Wait(p *programs.Proc) (resume func()) {
	process := m.process(p.PID)
	if process == nil {
		return func() {}
	}
	process.clock.wait()
	return process.clock.resume
}

// Processes implements programs.System.
func (m *Machine) Processes() []programs.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []programs.Process
	for _, p := range m.processes {
		list = append(list, programs.Process{PID: p.PID, PPID: p.PPID, UID: p.UID, Args: p.Args, Start: p.Start})
	}
	slices.SortFunc(list, func(a, b programs.Process) int { return a.PID - b.PID })
	return list
}

// rename gives a process the command line of the program that it has become.
func (m *Machine) rename(p *Process, args []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.Args = args
}
