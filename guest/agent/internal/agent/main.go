package agent

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/guest/agent/internal/command"
	"github.com/voidbox-run/voidbox/guest/agent/internal/output"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// mainProcess is the process that the sandbox exists for: a command whose output is kept, and which may be started again.
type mainProcess struct {
	runner  *command.Runner
	cmd     sandbox.Command
	restart boot.Restart
	delay   time.Duration
	slog    *slog.Logger

	log     *output.Log
	control chan sandbox.Control
	kill    context.CancelFunc
	stop    chan struct{} // closed when it is not to be started again
	stopped sync.Once
	done    chan struct{} // closed when it has ended for good

	mu   sync.Mutex
	pid  int
	exit *sandbox.Exit // of the last time; nil while it runs
}

// Pauses before a restart.
const (
	firstDelay = time.Second
	maxDelay   = 30 * time.Second
)

// StartMain starts the main process, if the configuration names one.
func (a *Agent) StartMain() error {
	m := a.Config.Main
	if m == nil {
		return nil
	}
	ctx, kill := context.WithCancel(context.Background())
	p := &mainProcess{
		runner: a.runner, cmd: sandbox.Command{Args: m.Args, Env: m.Env, Dir: m.Dir, User: m.User},
		restart: m.Restart, delay: cmp.Or(m.RestartDelay, firstDelay), slog: a.Log,
		log: output.NewLog(), control: make(chan sandbox.Control), kill: kill, stop: make(chan struct{}), done: make(chan struct{}),
	}
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		defer p.log.Close()
		p.live(ctx, started)
	}()
	if err := <-started; err != nil {
		kill()
		<-p.done
		return fmt.Errorf("main process: %w", err)
	}
	a.main = p
	return nil
}

// live runs the process until it is not to be started again. started is told whether the first start went well.
func (p *mainProcess) live(ctx context.Context, started chan<- error) {
	begun := time.Now()
	if err := p.run(ctx, func() { started <- nil }); err != nil {
		started <- err
		return
	}
	for delay := p.delay; p.again(ctx); delay = min(2*delay, maxDelay) {
		if time.Since(begun) > maxDelay {
			delay = p.delay
		}
		p.slog.Info("the main process has ended and is started again", "exit", p.state().Exit.Code, "in", delay)
		select {
		case <-time.After(delay):
		case <-p.stop:
			return
		}
		begun = time.Now()
		if err := p.run(ctx, func() {}); err != nil {
			p.slog.Warn("the main process cannot be started again", "error", err)
			return
		}
	}
}

// again tells whether the process, which has ended, is to be started again.
func (p *mainProcess) again(ctx context.Context) bool {
	select {
	case <-p.stop:
		return false
	default:
	}
	exit := p.state().Exit
	return ctx.Err() == nil && (p.restart == boot.RestartAlways || p.restart == boot.RestartOnFailure && exit.Code != 0)
}

// run calls started once the process runs, and returns when it has ended. An error after the start cannot be but that of kill,
// after which there is an exit all the same.
func (p *mainProcess) run(ctx context.Context, started func()) error {
	ran := false
	exit, err := p.runner.ExecTrusted(ctx, p.cmd, sandbox.IO{
		Stdout:  p.log.Stream(false),
		Stderr:  p.log.Stream(true),
		Control: p.control,
		Started: func(pid int) {
			ran = true
			p.mu.Lock()
			p.pid, p.exit = pid, nil
			p.mu.Unlock()
			started()
		},
	})
	if !ran {
		return err
	}
	p.mu.Lock()
	p.exit = &exit
	p.mu.Unlock()
	return nil
}

func (p *mainProcess) state() sandbox.Main {
	p.mu.Lock()
	defer p.mu.Unlock()
	return sandbox.Main{Defined: true, Running: p.exit == nil, PID: p.pid, Exit: p.exit}
}

// end keeps the process from being started again.
func (p *mainProcess) end() { p.stopped.Do(func() { close(p.stop) }) }

// terminate asks the process group to end.
func (p *mainProcess) terminate() {
	p.end()
	select {
	case p.control <- sandbox.Control{Signal: "TERM"}:
	case <-p.done:
	}
}

func (p *mainProcess) close() {
	p.end()
	p.kill()
	<-p.done
}

// WaitMain waits for the end of the main process.
func (a *Agent) WaitMain(ctx context.Context) (sandbox.Exit, error) {
	if a.main == nil {
		return sandbox.Exit{}, errNoMain
	}
	select {
	case <-a.main.done:
		return *a.main.state().Exit, nil
	case <-ctx.Done():
		return sandbox.Exit{}, ctx.Err()
	}
}

// MainOutput copies what the main process wrote.
func (a *Agent) MainOutput(ctx context.Context, follow bool, stdout, stderr io.Writer) error {
	if a.main == nil {
		return errNoMain
	}
	return a.main.log.Copy(ctx, follow, stdout, stderr)
}

var errNoMain = errdef.New(errdef.ErrNotFound, "the sandbox has no main process")
