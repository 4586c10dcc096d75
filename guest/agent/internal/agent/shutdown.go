package agent

import (
	"context"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/guest/agent/internal/vitals"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// killPatience bounds the wait for processes that were killed. Only one that the kernel itself holds up lives longer.
const killPatience = 5 * time.Second

// Shutdown ends the main process, then everything else. The first call does it, whatever becomes of its caller; the others
// wait for it. grace is for both parts together.
func (a *Agent) Shutdown(ctx context.Context, grace time.Duration) (*sandbox.Exit, error) {
	a.end.Do(func() { go a.shutdown(a.grace(grace)) })
	select {
	case <-a.ended:
		return a.endExit, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (a *Agent) grace(asked time.Duration) time.Duration {
	for _, grace := range []time.Duration{asked, a.Config.Grace} {
		if grace > 0 {
			return grace
		}
	}
	return sandbox.DefaultGrace
}

func (a *Agent) shutdown(grace time.Duration) {
	defer close(a.ended)
	a.Log.Info("shutting down", "grace", grace)
	deadline, stop := context.WithTimeout(context.Background(), grace)
	defer stop()
	a.runner.Shut()
	if a.Tree != nil {
		_ = a.runner.Thaw()
	}
	a.endMain(deadline)
	a.endOthers(deadline)
	unix.Sync()
}

func (a *Agent) endMain(deadline context.Context) {
	if a.main == nil {
		return
	}
	a.main.terminate()
	select {
	case <-a.main.done:
	case <-deadline.Done():
		a.main.close()
	}
	a.endExit = a.main.state().Exit
}

func (a *Agent) endOthers(deadline context.Context) {
	a.signalAll(unix.SIGTERM)
	a.signalAll(unix.SIGCONT) // a stopped process would not notice
	if a.awaitNone(deadline) {
		return
	}
	killed, stop := context.WithTimeout(context.Background(), killPatience)
	defer stop()
	if a.Tree != nil {
		_ = a.Tree.Kill()
	}
	a.signalAll(unix.SIGKILL)
	if !a.awaitNone(killed) {
		a.Log.Warn("processes outlived SIGKILL", "count", len(a.others()))
	}
}

// awaitNone returns true once nothing but the agent runs.
func (a *Agent) awaitNone(ctx context.Context) bool {
	for {
		reaped := a.Table.Reaped()
		if len(a.others()) == 0 {
			return true
		}
		select {
		case <-reaped:
		case <-ctx.Done():
			return false
		}
	}
}

// others are the processes below the agent. For PID 1 that is every process there is.
func (a *Agent) others() []int { return vitals.Descendants(os.Getpid()) }

func (a *Agent) signalAll(sig syscall.Signal) {
	if os.Getpid() == 1 {
		_ = syscall.Kill(-1, sig)
		return
	}
	for _, pid := range a.others() {
		_ = syscall.Kill(pid, sig)
	}
}
