//go:build unix

package mcp

import (
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// group is the process group that a program leads.
type group struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	gone bool
}

// kill ends the group at once.
func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.gone { // then its number may be somebody else's
		unix.Kill(-g.cmd.Process.Pid, unix.SIGKILL)
	}
}

// leave kills what the leader has left behind, for the last time.
func (g *group) leave() {
	g.kill()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone = true
}

func exitOf(state *os.ProcessState) sandbox.Exit {
	exit := sandbox.Exit{Code: state.ExitCode()}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		exit.Code, exit.Signal = 128+int(status.Signal()), sandbox.SignalName(int(status.Signal()))
	}
	return exit
}
