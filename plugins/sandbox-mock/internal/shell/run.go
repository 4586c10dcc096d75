package shell

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/programs"
)

// maxInterpreters bounds scripts whose interpreter is a script.
const maxInterpreters = 4

// Run implements programs.System. It runs a command as a child of p and returns its status; 126 and 127 say that it could not
// be run, as shells do.
func (m *Machine) Run(p *programs.Proc, args []string, env map[string]string) int {
	process, err := m.Start(p.Ctx, Origin{p.PID, p.User.UID, p.Limits}, args)
	if err != nil {
		fmt.Fprintf(p.Stderr, "sh: %v\n", err)
		return 126
	}
	defer m.Finish(process)
	defer m.Wait(p)()
	inner := *p
	inner.Args, inner.Env, inner.Ctx, inner.PID = args, env, process.Ctx, process.PID
	inner.User = process.As(p.User, p.Limits)
	status := m.runChild(&inner, args)
	if n := process.Signal(); n != 0 {
		return 128 + n
	}
	return status
}

func (m *Machine) runChild(p *programs.Proc, args []string) int {
	defer unblock(p.Ctx, p.Stdin)()
	if m.Intercept != nil {
		if status, answered := m.Intercept(p, args); answered {
			return status
		}
	}
	file, err := m.Look(p, args[0])
	if err != nil {
		return cannot(p, args[0], err)
	}
	return m.runFile(p, file, maxInterpreters, true)
}

// cannot says why a command was not run.
func cannot(p *programs.Proc, name string, err error) int {
	if err == syscall.ENOENT && !strings.Contains(name, "/") {
		fmt.Fprintf(p.Stderr, "sh: %s: not found\n", name)
		return 127
	}
	fmt.Fprintf(p.Stderr, "sh: %s: %v\n", name, err)
	if err == syscall.ENOENT || err == syscall.ENOTDIR {
		return 127
	}
	return 126
}

// unblock makes reads of an input fail once ctx ends. The returned function undoes it, since others may go on reading the same
// pipe.
func unblock(ctx context.Context, stdin io.Reader) func() {
	f, ok := stdin.(*os.File)
	if !ok {
		return func() {}
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = f.SetReadDeadline(time.Unix(1, 0)) // fails on a closed file, from which nobody reads
		close(done)
	})
	return func() {
		if !stop() {
			<-done
			_ = f.SetReadDeadline(time.Time{})
		}
	}
}

// runFile runs what a file holds: a built-in program, or a script by its first line. fromShell runs a file without a first
// line as a script, as shells do and exec(2) does not.
func (m *Machine) runFile(p *programs.Proc, file string, depth int, fromShell bool) int {
	content, err := m.load(p, file)
	if err != nil {
		return cannot(p, file, errno(err))
	}
	first, _, _ := strings.Cut(string(content[:min(len(content), 4096)]), "\n")
	if name, ok := strings.CutPrefix(first, marker); ok {
		return m.runBuiltin(p, name)
	}
	interpreter, isScript := strings.CutPrefix(first, "#!")
	words := strings.SplitN(strings.TrimSpace(interpreter), " ", 2)
	switch {
	case !isScript && (!fromShell || strings.Contains(first, "\x00")):
		return cannot(p, file, syscall.ENOEXEC)
	case !isScript:
		words = []string{"/bin/sh"}
	case words[0] == "":
		return cannot(p, file, syscall.ENOEXEC)
	case depth == 0:
		return cannot(p, file, syscall.ELOOP)
	}
	script := p.Args[0]
	if !strings.Contains(script, "/") {
		script = file
	}
	p.Args = append(append(words, script), p.Args[1:]...)
	if m.Intercept != nil {
		if status, answered := m.Intercept(p, p.Args); answered {
			return status
		}
	}
	program, err := m.Look(p, words[0])
	if err != nil {
		return cannot(p, words[0], err)
	}
	return m.runFile(p, program, depth-1, fromShell)
}

// load reads the file of a program. That takes no descriptor of the process, as execve(2) takes none.
func (m *Machine) load(p *programs.Proc, file string) ([]byte, error) {
	user := p.User
	user.Quota = nil
	return m.FS.ReadFile(user, file)
}

func (m *Machine) runBuiltin(p *programs.Proc, name string) int {
	switch name {
	case "sh", "bash", "ash", "dash":
		return m.runShell(p)
	}
	program := programs.Table[name]
	if program == nil {
		return cannot(p, p.Args[0], syscall.ENOEXEC)
	}
	return programs.Run(p, program)
}

// Exec runs the command of a process as exec(2) would, and returns its status. p is that process. err says why the command
// could not be run; then nothing ran. started is called when it can be.
func (m *Machine) Exec(p *programs.Proc, started func()) (status int, err error) {
	defer unblock(p.Ctx, p.Stdin)()
	if m.Intercept != nil {
		if status, answered := m.Intercept(p, p.Args); answered {
			return status, nil
		}
	}
	file, err := m.Look(p, p.Args[0])
	if err != nil {
		return 0, err
	}
	content, err := m.load(p, file)
	if err != nil {
		return 0, errno(err)
	}
	first, _, _ := strings.Cut(string(content[:min(len(content), 4096)]), "\n")
	interpreter, ok := strings.CutPrefix(first, "#!")
	words := strings.Fields(interpreter)
	if !ok || len(words) == 0 {
		return 0, syscall.ENOEXEC
	}
	if !strings.HasPrefix(first, marker) {
		if _, err := m.Look(p, words[0]); err != nil {
			return 0, err
		}
	}
	started()
	return m.runFile(p, file, maxInterpreters, false), nil
}
