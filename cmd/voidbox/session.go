package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// session is a command of a sandbox that is connected to this process's own input, output and signals.
type session struct {
	cli     *cli
	box     sandbox.Sandbox
	command sandbox.Command
	tty     bool // the command gets a terminal
	read    bool // it gets this process's input
	forward bool // it gets this process's signals, too; else they end ctx
}

// hangUp is how long a command whose terminal has vanished may take to end after SIGHUP.
const hangUp = 2 * time.Second

// run returns when the command has ended, with its exit code. The end of ctx kills it.
func (s *session) run(ctx context.Context) error {
	exit, err := s.exec(ctx)
	var begin *beginError
	switch {
	case errors.As(err, &begin):
		return notStarted(begin.err)
	case err != nil:
		return s.failed(ctx, err)
	}
	return s.ended(exit)
}

// beginError is one that came before the command was started.
type beginError struct{ err error }

func (e *beginError) Error() string { return e.err.Error() }
func (e *beginError) Unwrap() error { return e.err }

// exec runs the command to its end.
func (s *session) exec(ctx context.Context) (sandbox.Exit, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	controls := make(chan sandbox.Control, 16)
	stdio := sandbox.IO{Stdout: s.cli.stdout, Stderr: s.cli.stderr, Control: controls}
	if s.read {
		stdio.Stdin = s.cli.stdin
	}
	resize := false
	if s.tty {
		info, err := s.box.Info(ctx)
		if err != nil {
			return sandbox.Exit{}, &beginError{err}
		}
		resize = info.Has(sandbox.CapPtyResize)
		s.command.Pty = &sandbox.Pty{Size: s.cli.windowSize(), Term: os.Getenv("TERM")}
		restore, err := s.cli.rawTerminal()
		if err != nil {
			return sandbox.Exit{}, &beginError{err}
		}
		defer restore()
	}
	stop := s.relay(ctx, cancel, controls, resize)
	defer stop()
	return s.box.Exec(ctx, s.command, stdio)
}

// relayed are the signals that a command gets in place of this process.
var relayed = map[os.Signal]string{
	syscall.SIGINT: "INT", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP", syscall.SIGQUIT: "QUIT", syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2",
}

// relay passes signals and sizes on until the returned function is called. cancel kills the command.
func (s *session) relay(ctx context.Context, cancel func(), controls chan<- sandbox.Control, resize bool) (stop func()) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGHUP)
	if s.forward {
		for sig := range relayed {
			signal.Notify(signals, sig)
		}
	}
	if resize {
		signal.Notify(signals, syscall.SIGWINCH)
	}
	done := make(chan struct{})
	var relaying sync.WaitGroup
	relaying.Go(func() {
		interrupts := 0
		send := func(control sandbox.Control) {
			select {
			case controls <- control:
			case <-ctx.Done():
			case <-done:
			}
		}
		for {
			select {
			case <-done:
				return
			case sig := <-signals:
				switch sig {
				case syscall.SIGWINCH:
					size := s.cli.windowSize()
					send(sandbox.Control{Resize: &size})
					continue
				case syscall.SIGHUP: // nobody is there any more; what does not end then is killed
					time.AfterFunc(hangUp, cancel)
				case syscall.SIGINT, syscall.SIGTERM:
					if interrupts++; interrupts > 1 {
						cancel()
						continue
					}
				}
				send(sandbox.Control{Signal: relayed[sig]})
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(done)
		relaying.Wait()
	}
}

// windowSize is that of the terminal, or none.
func (c *cli) windowSize() sandbox.WindowSize {
	for _, end := range []any{c.stdin, unwrap(c.stdout), c.stderr} {
		if f, ok := end.(*os.File); ok {
			if cols, rows, err := term.GetSize(int(f.Fd())); err == nil {
				return sandbox.WindowSize{Rows: uint16(rows), Cols: uint16(cols)}
			}
		}
	}
	return sandbox.WindowSize{}
}

// rawTerminal lets every key pass to the sandbox, Ctrl-C among them, until the returned function is called.
func (c *cli) rawTerminal() (restore func(), err error) {
	f, ok := c.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}, nil
	}
	state, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	return func() { _ = term.Restore(int(f.Fd()), state) }, nil
}
