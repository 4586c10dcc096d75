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

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
)

// System is what a program may ask of the machine around it.
type System interface {
	// Run runs another program as p would, with args and env, and returns its exit status.
	Run(p *Proc, args []string, env map[string]string) int
	// Look finds a program in the PATH of p.
	Look(p *Proc, name string) (string, error)
	// Kill sends a signal by its number; 0 only asks whether the process lives.
	Kill(pid, signal int) error
	Processes() []Process
	Machine() Machine
	// Terminal tells whether a file descriptor of p is a terminal.
	Terminal(p *Proc, fd int) bool
}

// Process is a line of ps.
type Process struct {
	PID, PPID int
	Args      []string
	Start     time.Time
}

// Machine is what uname and its like tell.
type Machine struct {
	Hostname, Kernel, Version, Arch string
	User, Home                      string
	UID, GID                        uint32
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
	Sys    System
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

type stdout struct{ p *Proc }

func (w stdout) Write(b []byte) (int, error) {
	w.p.check()
	n, err := w.p.Stdout.Write(b)
	if err != nil {
		w.p.check()
		if errors.Is(err, syscall.ENOSPC) {
			w.p.errorf("write error: No space left on device")
			panic(end(1))
		}
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

type reader struct {
	p *Proc
	r io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	r.p.check()
	n, err := r.r.Read(b)
	if err != nil {
		r.p.check()
	}
	return n, err
}

func (p *Proc) in() io.Reader {
	if p.Stdin == nil {
		return strings.NewReader("")
	}
	return reader{p, p.Stdin}
}

// abs makes a path absolute, without resolving anything.
func (p *Proc) abs(name string) string {
	if path.IsAbs(name) {
		return name
	}
	return strings.TrimSuffix(p.Dir, "/") + "/" + name
}

// open opens a file for reading; "-" is standard input.
func (p *Proc) open(name string) (io.ReadCloser, error) {
	if name == "-" || name == "/dev/stdin" {
		return io.NopCloser(p.in()), nil
	}
	if name == "" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
	}
	f, err := p.FS.Open(p.User, p.abs(name), os.O_RDONLY, 0)
	if err != nil {
		return nil, named(err, name)
	}
	if f.Stat().Mode.IsDir() {
		f.Close()
		return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
	}
	return struct {
		io.Reader
		io.Closer
	}{reader{p, f}, f}, nil
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

// eachInput calls use for every named file, or for standard input when none is named. It returns 1 when one could not be read.
func (p *Proc) eachInput(names []string, use func(name string, r io.Reader) error) int {
	if len(names) == 0 {
		names = []string{"-"}
	}
	status := 0
	for _, name := range names {
		f, err := p.open(name)
		if err == nil {
			err = use(name, f)
			f.Close()
		}
		if err != nil {
			status = p.fail(named(err, name))
		}
	}
	return status
}

// readLines returns the lines of the inputs, without their ends.
func (p *Proc) readLines(names []string) ([]string, int) {
	var lines []string
	status := p.eachInput(names, func(_ string, r io.Reader) error {
		return scan(r, func(line string) bool { lines = append(lines, line); return true })
	})
	return lines, status
}

// scan calls use for every line until it returns false.
func scan(r io.Reader, use func(line string) bool) error {
	b := bufio.NewReaderSize(r, 32<<10)
	for {
		line, err := b.ReadString('\n')
		if line != "" || err == nil {
			if !use(strings.TrimSuffix(line, "\n")) {
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
