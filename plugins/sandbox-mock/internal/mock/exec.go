package mock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/accounts"
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/programs"
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/shell"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// errTimeout is the cause of a command's end by its own limit.
var errTimeout = errors.New("the command's time is over")

// Exec implements sandbox.Sandbox.
func (s *Sandbox) Exec(ctx context.Context, cmd sandbox.Command, stdio sandbox.IO) (sandbox.Exit, error) {
	if err := cmd.Check(); err != nil {
		return sandbox.Exit{}, err
	}
	if err := s.enter(); err != nil {
		return sandbox.Exit{}, err
	}
	defer s.running.Done()
	if err := ctx.Err(); err != nil {
		return sandbox.Exit{}, err
	}
	return s.run(ctx, cmd, stdio)
}

// run runs a command to its end.
func (s *Sandbox) run(ctx context.Context, cmd sandbox.Command, stdio sandbox.IO) (sandbox.Exit, error) {
	account, err := s.account(cmd.User)
	if err != nil {
		return sandbox.Exit{}, err
	}
	dir, err := s.enterDir(account.User(), cmd.Dir)
	if err != nil {
		return sandbox.Exit{}, err
	}
	limits := limitsOf(cmd.Limits)
	process, err := s.machine.Start(s.ctx, shell.Origin{Parent: 1, UID: account.UID, Limits: limits}, cmd.Args)
	if err != nil {
		return sandbox.Exit{}, errdef.New(errdef.ErrExhausted, "%w", err)
	}
	defer s.machine.Finish(process)
	r := &running{sandbox: s, process: process, stdio: stdio}
	r.proc = &programs.Proc{
		Ctx: process.Ctx, PID: process.PID, Args: cmd.Args, Env: s.environment(account, cmd), Dir: dir,
		FS: s.machine.FS, User: process.As(account.User(), limits), Limits: limits, Sys: s.machine,
	}
	// The group outlives ctx only as background jobs of a command that ended by itself.
	defer context.AfterFunc(ctx, func() { r.fail(context.Cause(ctx)) })()
	if cmd.Timeout > 0 {
		timer := time.AfterFunc(cmd.Timeout, func() { r.fail(errTimeout) })
		defer timer.Stop()
	}
	return r.run(ctx, cmd)
}

// Bounds on a command that names none, as on a usual system.
const (
	defaultOpenFiles = 1024
	defaultProcesses = 512
)

func limitsOf(l sandbox.Limits) programs.Limits {
	return programs.Limits{
		MemoryBytes: l.MemoryBytes, FileBytes: l.FileSizeBytes, CPUTime: l.CPUTime,
		OpenFiles: cmp.Or(l.OpenFiles, defaultOpenFiles), Processes: cmp.Or(l.Processes, defaultProcesses),
	}
}

// environment merges what the account gives, then the sandbox's, then the command's own.
func (s *Sandbox) environment(account accounts.Account, cmd sandbox.Command) map[string]string {
	env := map[string]string{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SHELL": "/bin/sh", "LANG": "C.UTF-8",
		"HOME": account.Home, "USER": account.Name, "LOGNAME": account.Name,
	}
	maps.Copy(env, s.spec.Env)
	if cmd.Pty != nil {
		env["TERM"] = "xterm-256color"
		if cmd.Pty.Term != "" {
			env["TERM"] = cmd.Pty.Term
		}
	}
	maps.Copy(env, cmd.Env)
	return env
}

func (s *Sandbox) enterDir(user memfs.User, dir string) (string, error) {
	if dir == "" {
		dir = workingDir
	}
	info, err := s.machine.FS.Stat(user, dir, true)
	if err == nil && !info.Mode.IsDir() {
		err = &os.PathError{Op: "chdir", Path: dir, Err: syscall.ENOTDIR}
	}
	if err == nil {
		err = s.machine.FS.Access(user, dir, 1)
	}
	if err != nil {
		return "", convert(err)
	}
	return dir, nil
}

func cannotRun(name string, err error) error {
	return errdef.New(kindOf(err), "run %s: %w", name, err)
}

// running is a command at work.
type running struct {
	sandbox *Sandbox
	process *shell.Process
	proc    *programs.Proc
	stdio   sandbox.IO

	mu  sync.Mutex
	err error // why it was ended, when not by a signal from inside
}

// fail ends the command for a reason that its caller is told.
func (r *running) fail(reason error) {
	r.mu.Lock()
	if r.err == nil {
		r.err = reason
	}
	r.mu.Unlock()
	r.process.Kill(int(syscall.SIGKILL))
}

func (r *running) reason() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *running) run(ctx context.Context, cmd sandbox.Command) (sandbox.Exit, error) {
	stdin, feeder, err := os.Pipe()
	if err != nil {
		return sandbox.Exit{}, errdef.New(errdef.ErrExhausted, "make a pipe: %w", err)
	}
	defer stdin.Close()
	// A background job may hold these longer than the command runs; then its writes fail.
	started := sync.OnceFunc(func() {
		if r.stdio.Started != nil {
			r.stdio.Started(r.process.PID)
		}
	})
	stdout := &output{w: r.stdio.Stdout, started: started, fail: r.fail, terminal: cmd.Pty != nil}
	stderr := &output{w: r.stdio.Stderr, started: started, fail: r.fail}
	if cmd.Pty != nil {
		stderr = stdout
		r.sandbox.machine.SetTerminal(stdin, true)
		defer r.sandbox.machine.SetTerminal(stdin, false)
	}
	defer stdout.close()
	defer stderr.close()
	r.proc.Stdin, r.proc.Stdout, r.proc.Stderr = stdin, stdout, stderr

	r.feed(feeder, stdout, cmd.Pty != nil)
	controlled := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(controlled)
		r.control(ended)
	}()
	status, err := r.sandbox.machine.Exec(r.proc, started)
	close(ended)
	<-controlled
	if err != nil {
		return sandbox.Exit{}, cannotRun(cmd.Args[0], err)
	}
	started()
	return r.exit(ctx, status)
}

// exit tells how the command ended.
func (r *running) exit(ctx context.Context, status int) (sandbox.Exit, error) {
	reason := r.reason()
	if ctx.Err() != nil && r.sandbox.ctx.Err() == nil {
		return sandbox.Exit{}, ctx.Err()
	}
	if reason != nil && !errors.Is(reason, errTimeout) && r.sandbox.ctx.Err() == nil {
		return sandbox.Exit{}, reason
	}
	exit := sandbox.Exit{Code: status, TimedOut: errors.Is(reason, errTimeout)}
	if n := r.process.Signal(); n != 0 {
		exit.Code, exit.Signal = 128+n, sandbox.SignalName(n)
	}
	return exit, nil
}

// feed copies the caller's input into the command's pipe. The goroutine ends with the input, or when the pipe is closed, which
// it notices at its next write: a caller's Read that blocks keeps it, see sandbox.NewClient.
func (r *running) feed(pipe *os.File, screen *output, terminal bool) {
	if r.stdio.Stdin == nil {
		pipe.Close()
		return
	}
	go func() {
		defer pipe.Close()
		var w io.Writer = pipe
		if terminal {
			w = &keyboard{pipe: pipe, screen: screen, process: r.process}
		}
		_, err := io.Copy(w, onlyReader{r.stdio.Stdin})
		if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, os.ErrClosed) && !errors.Is(err, errHangUp) {
			r.fail(errdef.New(errdef.ErrAborted, "read standard input: %w", err))
		}
	}()
}

type onlyReader struct{ io.Reader }

// control hands signals on until the command has ended.
func (r *running) control(ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case c, ok := <-r.stdio.Control:
			if !ok {
				return
			}
			switch err := c.Check(); {
			case err != nil:
				r.fail(err)
			case c.Resize != nil:
				r.fail(unsupported("changing the size of a terminal"))
			default:
				n, _ := sandbox.SignalNumber(c.Signal)
				r.process.Kill(n)
			}
		}
	}
}

// output is a command's output while the command runs.
type output struct {
	started  func() // before the first byte
	fail     func(error)
	terminal bool

	mu     sync.Mutex
	w      io.Writer // nil discards
	closed bool
}

// Terminal implements shell.TerminalWriter.
func (o *output) Terminal() bool { return o.terminal }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0, syscall.EPIPE
	}
	o.started()
	if o.w == nil {
		return len(b), nil
	}
	data := b
	if o.terminal {
		data = toScreen(b)
	}
	if _, err := o.w.Write(data); err != nil {
		o.fail(fmt.Errorf("write output: %w", err))
		return 0, syscall.EPIPE
	}
	return len(b), nil
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}
