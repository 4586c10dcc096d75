package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/programs"
)

// unseen is put in front of the path of a sourced script, so that the interpreter's look at the host's file of that name
// finds nothing. open takes it off.
const unseen = nowhere + "/.."

// script is one shell at work.
type script struct {
	machine *Machine
	process *Process
	proc    *programs.Proc
}

// runShell is the program sh.
func (m *Machine) runShell(p *programs.Proc) int {
	source, name, params, err := m.shellSource(p)
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %v\n", path.Base(p.Args[0]), err)
		return 2
	}
	file, err := parse(source, name)
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %v\n", path.Base(p.Args[0]), err)
		return 2
	}
	process := m.process(p.PID)
	if process == nil {
		return 2 // it was finished while it started: the machine is going down
	}
	s := &script{machine: m, process: process, proc: p}
	return s.run(file, params)
}

// shellSource reads the command line: options, then -c and a text, the name of a file, or nothing for standard input.
func (m *Machine) shellSource(p *programs.Proc) (source, name string, params []string, err error) {
	args := p.Args[1:]
	var options []string
	text, fromText := "", false
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		a := args[0]
		args = args[1:]
		if a == "--" {
			break
		}
		if strings.HasPrefix(a, "--") {
			continue // such as --login
		}
		if a[1:] == "o" && len(args) > 0 {
			options = append(options, a, args[0])
			args = args[1:]
			continue
		}
		for _, letter := range a[1:] {
			switch letter {
			case 'c':
				fromText = true
			case 'l', 'i', 's':
			case 'o':
				if len(args) > 0 {
					options = append(options, a[:1]+"o", args[0])
					args = args[1:]
				}
			default:
				options = append(options, a[:1]+string(letter))
			}
		}
	}
	name = p.Args[0]
	switch {
	case fromText:
		if len(args) == 0 {
			return "", "", nil, errors.New("-c: option requires an argument")
		}
		text, args = args[0], args[1:]
		if len(args) > 0 {
			name, args = args[0], args[1:]
		}
	case len(args) > 0:
		name = args[0]
		b, err := m.FS.ReadFile(m.User, absolute(p.Dir, name))
		if err != nil {
			return "", "", nil, fmt.Errorf("%s: %w", name, errno(err))
		}
		text, args = string(b), args[1:]
	case p.Stdin != nil:
		b, err := io.ReadAll(p.Stdin)
		if err != nil {
			return "", "", nil, err
		}
		text = string(b)
	}
	return text, name, append(append(options, "--"), args...), nil
}

// run interprets a script and returns its status.
func (s *script) run(file *syntax.File, params []string) int {
	env := newEnviron(s.proc.Env, s.machine.Facts, s.process)
	runner, err := interp.New(
		interp.Env(env),
		func(r *interp.Runner) error { r.Dir = s.proc.Dir; return nil }, // interp.Dir would look at the host's directory
		interp.Params(params...),
		interp.StdIO(s.proc.Stdin, s.proc.Stdout, s.proc.Stderr),
		interp.CallHandler(s.call),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return s.exec }),
		interp.OpenHandler(s.open),
		interp.ReadDirHandler2(s.readDir),
		interp.StatHandler(s.stat),
		interp.AccessHandler(func(ctx context.Context, p string, mode interp.AccessMode) error {
			return s.machine.FS.Access(s.machine.User, p, fs.FileMode(mode))
		}),
	)
	if err != nil {
		fmt.Fprintf(s.proc.Stderr, "sh: %v\n", err)
		return 2
	}
	runner.Reset()
	env.started = true
	err = runner.Run(s.process.Ctx, file)
	var status interp.ExitStatus
	switch {
	case s.process.Ctx.Err() != nil:
		return 128 + max(s.process.Signal(), 1)
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	}
	return 2
}

// job returns the background job that a command belongs to, or nil.
func (s *script) job(env expand.Environ) *Process {
	pid, err := strconv.Atoi(env.Get(varOwn).String())
	if err != nil {
		return nil
	}
	return s.machine.process(pid)
}

// exec runs what is neither function nor builtin.
func (s *script) exec(ctx context.Context, args []string) error {
	hc := interp.HandlerCtx(ctx)
	switch args[0] {
	case callNew:
		return s.newJob(hc)
	case callDone:
		return s.jobDone(hc, args)
	}
	process := s.process
	if job := s.job(hc.Env); job != nil {
		process = job
	}
	p := &programs.Proc{
		Ctx: process.Ctx, PID: process.PID, Args: args, Env: exported(hc.Env), Dir: hc.Dir, Stdin: hc.Stdin, Stdout: hc.Stdout,
		Stderr: hc.Stderr, FS: s.machine.FS, User: s.machine.User, Sys: s.machine,
	}
	name, builtin := strings.CutPrefix(args[0], own)
	var status int
	if builtin {
		p.Args = append([]string{name}, args[1:]...)
		status = programs.Run(p, programs.Table[name])
	} else {
		status = s.machine.Run(p, args, p.Env)
	}
	if n := process.Signal(); n != 0 {
		return hc.Builtin(ctx, []string{"exit", strconv.Itoa(128 + n)})
	}
	if builtin && status == 128+13 {
		// A builtin that nobody reads from takes its subshell with it.
		return hc.Builtin(ctx, []string{"exit", strconv.Itoa(status)})
	}
	if status != 0 {
		return interp.ExitStatus(status)
	}
	return nil
}

func (s *script) newJob(hc interp.HandlerContext) error {
	parent := s.process
	if job := s.job(hc.Env); job != nil {
		parent = job
	}
	job, err := s.machine.Start(parent.Ctx, parent.PID, []string{"sh"})
	if err != nil {
		fmt.Fprintf(hc.Stderr, "sh: %v\n", err)
		return err // ends the shell: a fork bomb stops here
	}
	fmt.Fprintln(hc.Stdout, job.PID)
	return nil
}

func (s *script) jobDone(hc interp.HandlerContext, args []string) error {
	status, _ := strconv.Atoi(args[1])
	if job := s.job(hc.Env); job != nil {
		if n := job.Signal(); n != 0 {
			status = 128 + n
		}
		s.machine.Finish(job)
	}
	if status != 0 {
		return interp.ExitStatus(status)
	}
	return nil
}

// open serves redirections and sourced scripts.
func (s *script) open(ctx context.Context, name string, flag int, perm fs.FileMode) (io.ReadWriteCloser, error) {
	hc := interp.HandlerCtx(ctx)
	if file, ok := strings.CutPrefix(name, unseen); ok {
		b, err := s.machine.FS.ReadFile(s.machine.User, file)
		if err != nil {
			return nil, err
		}
		return stream{Reader: strings.NewReader(rewriteText(string(b)))}, nil
	}
	switch name {
	case "/dev/stdin", "/dev/fd/0":
		return stream{Reader: hc.Stdin}, nil
	case "/dev/stdout", "/dev/fd/1":
		return stream{Writer: hc.Stdout}, nil
	case "/dev/stderr", "/dev/fd/2":
		return stream{Writer: hc.Stderr}, nil
	}
	f, err := s.machine.FS.Open(s.machine.User, absolute(hc.Dir, name), flag, perm)
	if err != nil {
		return nil, err
	}
	if flag&(os.O_WRONLY|os.O_RDWR) != 0 {
		return f, nil
	}
	return feed(f)
}

// feed turns an open file into the reading end of a pipe: for any other reader the interpreter makes a pipe of its own, and
// never closes it. The copying ends with the file, or when the pipe is closed.
func feed(f *memfs.File) (io.ReadWriteCloser, error) {
	r, w, err := os.Pipe()
	if err != nil {
		f.Close()
		return nil, err
	}
	go func() {
		_, _ = io.Copy(w, onlyReader{f}) // fails when nobody reads any more
		w.Close()
		f.Close()
	}()
	return r, nil
}

type onlyReader struct{ io.Reader }

// stream is a file that is not the script's to close.
type stream struct {
	io.Reader
	io.Writer
}

func (stream) Close() error { return nil }

func (s stream) Read(b []byte) (int, error) {
	if s.Reader == nil {
		return 0, io.EOF
	}
	return s.Reader.Read(b)
}

func (s *script) readDir(_ context.Context, name string) ([]fs.DirEntry, error) {
	infos, err := s.machine.FS.ReadDir(s.machine.User, name)
	if err != nil {
		return nil, err
	}
	var entries []fs.DirEntry
	for _, i := range infos {
		entries = append(entries, fs.FileInfoToDirEntry(fileInfo{i}))
	}
	return entries, nil
}

func (s *script) stat(_ context.Context, name string, follow bool) (fs.FileInfo, error) {
	info, err := s.machine.FS.Stat(s.machine.User, name, follow)
	if err != nil {
		return nil, err
	}
	return fileInfo{info}, nil
}

// fileInfo is a memfs.Info as package fs wants it.
type fileInfo struct{ info memfs.Info }

func (f fileInfo) Name() string       { return f.info.Name }
func (f fileInfo) Size() int64        { return f.info.Size }
func (f fileInfo) Mode() fs.FileMode  { return f.info.Mode }
func (f fileInfo) ModTime() time.Time { return f.info.ModTime }
func (f fileInfo) IsDir() bool        { return f.info.Mode.IsDir() }
func (f fileInfo) Sys() any           { return nil }
