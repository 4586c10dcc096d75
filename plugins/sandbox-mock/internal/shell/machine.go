package shell

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/programs"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

const (
	// maxProcesses bounds what runs in one machine.
	maxProcesses = 1024
	// defaultPath is where programs are looked for when PATH is not set.
	defaultPath = "/usr/local/bin:/usr/bin:/bin"
	// marker starts the file of a program that is built in; its name follows. It travels with the file when that is copied.
	marker = "#!/voidbox-mock "
)

// Intercept may answer for a command before any program does. It returns false to let it run.
type Intercept func(p *programs.Proc, args []string) (status int, answered bool)

// Machine is one computer. Its methods may be called concurrently.
type Machine struct {
	FS        *memfs.FS
	User      memfs.User
	Facts     programs.Machine
	Intercept Intercept // may be nil

	mu        sync.Mutex
	processes map[int]*Process
	lastPID   int
	terminals map[io.Reader]bool
}

// NewMachine returns a computer without processes.
func NewMachine(fs *memfs.FS, user memfs.User, facts programs.Machine) *Machine {
	return &Machine{
		FS: fs, User: user, Facts: facts,
		processes: map[int]*Process{}, lastPID: 100, terminals: map[io.Reader]bool{},
	}
}

// ProgramFile returns the content of the file of a built-in program.
func ProgramFile(name string) []byte { return []byte(marker + name + "\n") }

// Names lists the built-in programs.
func Names() []string {
	names := []string{"sh", "bash", "ash", "dash"}
	for name := range programs.Table {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Killed is the cause of a process's end: a signal's number.
type Killed int

func (k Killed) Error() string { return "killed by SIG" + sandbox.SignalName(int(k)) }

// Process is a running command, with all that it runs in the foreground.
type Process struct {
	PID, PPID int
	Args      []string
	Start     time.Time
	Ctx       context.Context
	cancel    context.CancelCauseFunc
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

// Start adds a process below ctx. The caller calls Finish.
func (m *Machine) Start(ctx context.Context, parent int, args []string) (*Process, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.processes) >= maxProcesses {
		return nil, fmt.Errorf("fork: %w", syscall.EAGAIN)
	}
	m.lastPID++
	p := &Process{PID: m.lastPID, PPID: parent, Args: args, Start: time.Now()}
	p.Ctx, p.cancel = context.WithCancelCause(ctx)
	m.processes[p.PID] = p
	return p, nil
}

// Finish removes a process. Its context lives on when there are background jobs that outlive it.
func (m *Machine) Finish(p *Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.processes, p.PID)
	for _, other := range m.processes {
		if other.PPID == p.PID {
			return
		}
	}
	p.cancel(nil)
}

func (m *Machine) process(pid int) *Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.processes[pid]
}

// Kill implements programs.System.
func (m *Machine) Kill(pid, signal int) error {
	p := m.process(pid)
	if p == nil {
		return syscall.ESRCH
	}
	p.Kill(signal)
	return nil
}

// Processes implements programs.System.
func (m *Machine) Processes() []programs.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []programs.Process
	for _, p := range m.processes {
		list = append(list, programs.Process{PID: p.PID, PPID: p.PPID, Args: p.Args, Start: p.Start})
	}
	slices.SortFunc(list, func(a, b programs.Process) int { return a.PID - b.PID })
	return list
}

// Machine implements programs.System.
func (m *Machine) Machine() programs.Machine { return m.Facts }

// SetTerminal says that a standard input is a terminal, or that it is no more.
func (m *Machine) SetTerminal(stdin *os.File, is bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if is {
		m.terminals[stdin] = true
	} else {
		delete(m.terminals, stdin)
	}
}

// TerminalWriter is implemented by outputs that are terminals.
type TerminalWriter interface{ Terminal() bool }

// Terminal implements programs.System.
func (m *Machine) Terminal(p *programs.Proc, fd int) bool {
	var w io.Writer
	switch fd {
	case 0:
		m.mu.Lock()
		defer m.mu.Unlock()
		return p.Stdin != nil && m.terminals[p.Stdin]
	case 1:
		w = p.Stdout
	case 2:
		w = p.Stderr
	}
	t, ok := w.(TerminalWriter)
	return ok && t.Terminal()
}

// Look implements programs.System: it finds the file that a program's name stands for. The error is that of exec(2).
func (m *Machine) Look(p *programs.Proc, name string) (string, error) {
	if name == "" {
		return "", syscall.ENOENT
	}
	if strings.Contains(name, "/") {
		return m.executable(p.Dir, name)
	}
	dirs, ok := p.Env["PATH"]
	if !ok {
		dirs = defaultPath
	}
	found := error(syscall.ENOENT)
	for dir := range strings.SplitSeq(dirs, ":") {
		if dir == "" {
			dir = "."
		}
		file, err := m.executable(p.Dir, dir+"/"+name)
		if err == nil {
			return file, nil
		}
		if err == syscall.EACCES {
			found = err
		}
	}
	return "", found
}

func (m *Machine) executable(dir, file string) (string, error) {
	if !path.IsAbs(file) {
		file = strings.TrimSuffix(dir, "/") + "/" + file
	}
	info, err := m.FS.Stat(m.User, file, true)
	if err != nil {
		return "", errno(err)
	}
	if !info.Mode.IsRegular() {
		return "", syscall.EACCES
	}
	return file, errno(m.FS.Access(m.User, file, 1))
}

// errno unwraps the Linux error of a file system error.
func errno(err error) error {
	if err == nil {
		return nil
	}
	if pe, ok := err.(*os.PathError); ok {
		return pe.Err
	}
	return err
}
