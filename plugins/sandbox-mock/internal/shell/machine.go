package shell

import (
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/programs"
)

const (
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
	Facts     programs.Machine
	Intercept Intercept // may be nil

	mu        sync.Mutex
	processes map[int]*Process
	lastPID   int
	held      uint64 // by the variables of all shells, see hold
	terminals map[io.Reader]bool
}

// NewMachine returns a computer without processes.
func NewMachine(fs *memfs.FS, facts programs.Machine) *Machine {
	return &Machine{
		FS: fs, Facts: facts,
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
		return m.executable(p, name)
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
		file, err := m.executable(p, dir+"/"+name)
		if err == nil {
			return file, nil
		}
		if err == syscall.EACCES {
			found = err
		}
	}
	return "", found
}

func (m *Machine) executable(p *programs.Proc, file string) (string, error) {
	file = absolute(p.Dir, file)
	info, err := m.FS.Stat(p.User, file, true)
	if err != nil {
		return "", errno(err)
	}
	if !info.Mode.IsRegular() {
		return "", syscall.EACCES
	}
	return file, errno(m.FS.Access(p.User, file, 1))
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
