package programs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/accounts"
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

// System is what a program may ask of the machine around it.
type System interface {
	// Run runs another program as p would, with args and env, and returns its exit status.
	Run(p *Proc, args []string, env map[string]string) int
	// Look finds a program in the PATH of p.
	Look(p *Proc, name string) (string, error)
	// Kill sends a signal by its number; 0 only asks whether the process lives. Only root reaches processes of others.
	Kill(p *Proc, pid, signal int) error
	// Wait says that p waits for something, which is no time of a processor, until the returned function is called.
	Wait(p *Proc) (resume func())
	Processes() []Process
	Machine() Machine
	// Terminal tells whether a file descriptor of p is a terminal.
	Terminal(p *Proc, fd int) bool
}

// Process is a line of ps.
type Process struct {
	PID, PPID int
	UID       uint32
	Args      []string
	Start     time.Time
}

// Machine is what uname and its like tell.
type Machine struct {
	Hostname, Kernel, Version, Arch string
	CPUs                            int
	MemoryBytes                     uint64
	Boot                            time.Time
}

// Proc is a running program.
type Proc struct {
	Ctx    context.Context
	PID    int
	Args   []string // the program's name first
	Env    map[string]string
	Dir    string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	FS     *memfs.FS
	User   memfs.User
	Limits Limits
	Sys    System

	table *accounts.Table // see users
}

// brokenPipe is the status of a program that nobody listens to: 128 + SIGPIPE.
const brokenPipe = 141

// end is thrown to leave a program from within a read or a write. Run catches it.
type end int

// Run runs the program that p names, if it is one of ours.
func Run(p *Proc, program func(*Proc) int) (status int) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case end:
			status = int(e)
		default:
			panic(e)
		}
	}()
	return program(p)
}

// check ends the program when its process was killed.
func (p *Proc) check() {
	if p.Ctx.Err() != nil {
		panic(end(128 + int(syscall.SIGTERM)))
	}
}

// tooBig ends the process as SIGXFSZ does when err says that a file would grow beyond the limit.
func (p *Proc) tooBig(err error) {
	if errors.Is(err, syscall.EFBIG) {
		_ = p.Sys.Kill(p, p.PID, int(syscall.SIGXFSZ)) // one may always kill oneself
		panic(end(128 + int(syscall.SIGXFSZ)))
	}
}

type stdout struct{ p *Proc }

// write writes. A pipe makes one wait, a file does not.
func (w stdout) write(b []byte) (int, error) {
	if _, ok := w.p.Stdout.(*memfs.File); !ok {
		defer w.p.Sys.Wait(w.p)()
	}
	return w.p.Stdout.Write(b)
}

func (w stdout) Write(b []byte) (int, error) {
	w.p.check()
	n, err := w.write(b)
	if err != nil {
		w.p.check()
		for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.ENOMEM} {
			if errors.Is(err, full) {
				w.p.errorf("write error: %s", sentence(full))
				panic(end(1))
			}
		}
		w.p.tooBig(err)
		panic(end(brokenPipe))
	}
	return n, nil
}

// out is the output, which ends the program when it fails.
func (p *Proc) out() io.Writer { return stdout{p} }

// lines is the output for programs that write much. The caller flushes it.
func (p *Proc) lines() *bufio.Writer { return bufio.NewWriterSize(p.out(), 32<<10) }

func (p *Proc) print(args ...any)                 { fmt.Fprint(p.out(), args...) }
func (p *Proc) printf(format string, args ...any) { fmt.Fprintf(p.out(), format, args...) }

// errorf writes an error under the program's name.
func (p *Proc) errorf(format string, args ...any) {
	fmt.Fprintf(p.Stderr, "%s: %s\n", path.Base(p.Args[0]), fmt.Sprintf(format, args...))
}

// fail writes an error and returns status 1.
func (p *Proc) fail(err error) int {
	p.tooBig(err)
	p.errorf("%s", message(err))
	return 1
}

// message is an error as programs print it: path first.
func message(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Path + ": " + sentence(pe.Err)
	}
	return err.Error()
}

func sentence(err error) string {
	s := err.Error()
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// abs makes a path absolute, without resolving anything.
func (p *Proc) abs(name string) string {
	if path.IsAbs(name) {
		return name
	}
	return strings.TrimSuffix(p.Dir, "/") + "/" + name
}

// named replaces the path of an error by what the user wrote.
func named(err error, name string) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return &fs.PathError{Op: pe.Op, Path: name, Err: pe.Err}
	}
	return err
}

// create opens a file for writing, truncated or for appending.
func (p *Proc) create(name string, appending bool) (*memfs.File, error) {
	flag := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if appending {
		flag = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	f, err := p.FS.Open(p.User, p.abs(name), flag, 0o644)
	return f, named(err, name)
}
