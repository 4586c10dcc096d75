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
	"sync"
	"time"

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

	mu        sync.Mutex
	forks     map[int]*fork     // by process id
	jobs      map[string]string // what the interpreter calls background jobs, by process id
	functions map[string]bool   // names that functions were given, in some subshell at least
}

// runShell is the program sh.
func (m *Machine) runShell(p *programs.Proc) int {
	source, name, params, err := m.shellSource(p)
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %v\n", path.Base(p.Args[0]), err)
		return 2
	}
	file, rewriter, err := parse(source, name)
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %v\n", path.Base(p.Args[0]), err)
		return 2
	}
	process := m.process(p.PID)
	if process == nil {
		return 2 // it was finished while it started: the machine is going down
	}
	s := &script{machine: m, process: process, proc: p, forks: map[int]*fork{}, jobs: map[string]string{}, functions: map[string]bool{}}
	s.learn(process, rewriter, source)
	defer s.leave()
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
		b, err := m.FS.ReadFile(p.User, absolute(p.Dir, name))
		if err != nil {
			return "", "", nil, fmt.Errorf("%s: %w", name, errno(err))
		}
		text, args = string(b), args[1:]
	case p.Stdin != nil:
		b, err := programs.ReadAll(p.Stdin, p.Limits.Memory())
		if err != nil {
			return "", "", nil, err
		}
		text = string(b)
	}
	return text, name, append(append(options, "--"), args...), nil
}

// run interprets a script and returns its status.
func (s *script) run(file *syntax.File, params []string) int {
	env := newEnviron(s.proc, s.process)
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
			return s.machine.FS.Access(s.proc.User, p, fs.FileMode(mode))
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

// exec runs what is neither function nor builtin.
func (s *script) exec(ctx context.Context, args []string) error {
	hc := interp.HandlerCtx(ctx)
	if args[0] == callExit || args[0] == callOwns {
		return s.internal(hc, args)
	}
	process, inPlace := s.process, false
	if f := s.forkOf(hc.Env); f != nil {
		process, inPlace = f.process, f.single && f.calls.Load() == 1
	}
	process.clock.wake()
	limits := s.limits(hc.Env)
	p := &programs.Proc{
		Ctx: process.Ctx, PID: process.PID, Args: args, Env: exported(hc.Env), Dir: hc.Dir, Stdin: hc.Stdin,
		Stdout: s.output(hc, process, limits.Memory()), Stderr: hc.Stderr, FS: s.machine.FS,
		User: process.As(s.proc.User, limits), Limits: limits, Sys: s.machine,
	}
	name, builtin := strings.CutPrefix(args[0], own)
	var status int
	switch {
	case builtin:
		p.Args = append([]string{name}, args[1:]...)
		status = programs.Run(p, programs.Table[name])
	case inPlace:
		// A process that was made for one program becomes that program.
		s.machine.rename(process, args)
		status = s.machine.runChild(p, args)
	default:
		status = s.machine.Run(p, args, p.Env)
	}
	if c, ok := p.Stdout.(*capture); ok && c.full {
		return errNoMemory // ends the substitution; the shell around it says so
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

// internal runs what rewritten scripts call.
func (s *script) internal(hc interp.HandlerContext, args []string) error {
	if args[0] == callOwns && len(args) == 3 {
		if s.owns(hc, args[1], args[2]) {
			fmt.Fprint(hc.Stdout, "yes")
		}
		return nil
	}
	if status, err := strconv.ParseUint(args[len(args)-1], 10, 8); err == nil && status > 0 {
		return interp.ExitStatus(status)
	}
	return nil
}

// open serves redirections and sourced scripts.
func (s *script) open(ctx context.Context, name string, flag int, perm fs.FileMode) (io.ReadWriteCloser, error) {
	if call, ok := strings.CutPrefix(name, hooks); ok {
		return s.called(ctx, call)
	}
	hc := interp.HandlerCtx(ctx)
	process := s.current(hc.Env)
	process.clock.wake()
	user := process.As(s.proc.User, s.limits(hc.Env))
	if file, ok := strings.CutPrefix(name, unseen); ok {
		b, err := s.machine.FS.ReadFile(user, file)
		if err != nil {
			return nil, err
		}
		return stream{Reader: strings.NewReader(s.rewriteText(process, string(b)))}, nil
	}
	switch name {
	case "/dev/stdin", "/dev/fd/0":
		return stream{Reader: hc.Stdin}, nil
	case "/dev/stdout", "/dev/fd/1":
		return stream{Writer: hc.Stdout}, nil
	case "/dev/stderr", "/dev/fd/2":
		return stream{Writer: hc.Stderr}, nil
	}
	f, err := s.machine.FS.Open(user, absolute(hc.Dir, name), flag, perm)
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
	infos, err := s.machine.FS.ReadDir(s.proc.User, name)
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
	info, err := s.machine.FS.Stat(s.proc.User, name, follow)
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
