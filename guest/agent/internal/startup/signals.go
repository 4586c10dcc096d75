package startup

import (
	"context"
	"log/slog"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/guest/agent/internal/agent"
)

// stray are signals that would end a Go program and mean nothing to PID 1. They are caught rather than ignored, since what
// is ignored stays ignored in every command that the agent starts. Faults of the agent's own panic as ever.
var stray = []os.Signal{unix.SIGHUP, unix.SIGQUIT, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE, unix.SIGUSR1,
	unix.SIGSEGV, unix.SIGUSR2, unix.SIGPIPE, unix.SIGALRM, unix.SIGSTKFLT, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM, unix.SIGIO, unix.SIGSYS}

// powerButton is what ACPI's small driver for the power button sends to PID 1, by systemd's convention: SIGRTMIN+4.
const powerButton = unix.Signal(38)

// ending are signals that ask for a shutdown; the kernel sends SIGINT for Ctrl-Alt-Del, and SIGPWR when power fails.
var ending = []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGPWR, powerButton}

// catch keeps signals from ending the program, from here to its end.
func catch() <-chan os.Signal {
	signal.Notify(make(chan os.Signal, 1), stray...)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, ending...)
	return signals
}

// heed shuts the sandbox down when a signal or the power button asks for it.
func heed(signals <-chan os.Signal, button <-chan struct{}, a *agent.Agent, log *slog.Logger) {
	go func() {
		select {
		case s := <-signals:
			log.Info("shutdown by signal", "signal", s)
		case <-button:
			log.Info("shutdown by the power button")
		case <-a.Ended():
			return
		}
		_, _ = a.Shutdown(context.Background(), 0)
	}()
}
