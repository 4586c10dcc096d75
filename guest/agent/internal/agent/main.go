package agent

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/voidbox-run/voidbox/guest/agent/internal/command"
	"github.com/voidbox-run/voidbox/guest/agent/internal/output"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// mainProcess is the process that the sandbox exists for: a command whose output is kept.
type mainProcess struct {
	log     *output.Log
	control chan sandbox.Control
	kill    context.CancelFunc
	done    chan struct{}

	mu   sync.Mutex
	pid  int
	exit *sandbox.Exit
}

// StartMain starts the main process, if the configuration names one.
func (a *Agent) StartMain() error {
	m := a.Config.Main
	if m == nil {
		return nil
	}
	ctx, kill := context.WithCancel(context.Background())
	p := &mainProcess{log: output.NewLog(), control: make(chan sandbox.Control), kill: kill, done: make(chan struct{})}
	started := make(chan error, 1)
	cmd := sandbox.Command{Args: m.Args, Env: m.Env, Dir: m.Dir, User: m.User}
	go func() {
		defer close(p.done)
		started <- p.run(ctx, a.runner, cmd, started)
	}()
	if err := <-started; err != nil {
		kill()
		<-p.done
		return fmt.Errorf("main process: %w", err)
	}
	a.main = p
	return nil
}

// run sends nil to started once the process runs, and returns when it has ended. An error after the start cannot be but
// that of kill, after which there is an exit all the same.
func (p *mainProcess) run(ctx context.Context, runner *command.Runner, cmd sandbox.Command, started chan<- error) error {
	ran := false
	exit, err := runner.ExecTrusted(ctx, cmd, sandbox.IO{
		Stdout:  p.log.Stream(false),
		Stderr:  p.log.Stream(true),
		Control: p.control,
		Started: func(pid int) {
			ran = true
			p.mu.Lock()
			p.pid = pid
			p.mu.Unlock()
			started <- nil
		},
	})
	p.log.Close()
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

// terminate asks the process group to end.
func (p *mainProcess) terminate() {
	select {
	case p.control <- sandbox.Control{Signal: "TERM"}:
	case <-p.done:
	}
}

func (p *mainProcess) close() {
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
