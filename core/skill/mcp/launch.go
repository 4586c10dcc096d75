package mcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// Launch runs a server's program, connected to stdio, until it ends. The end of ctx kills it and what it started.
type Launch func(ctx context.Context, s Server, stdio sandbox.IO) (sandbox.Exit, error)

// inherited are the variables of the host's environment that a server on the host gets. The rest may hold keys.
var inherited = []string{"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR", "TZ"}

// onHost is the Launch of servers on the host. The program leads a process group of its own, which dies with it.
func onHost(ctx context.Context, s Server, stdio sandbox.IO) (sandbox.Exit, error) {
	cmd := exec.Command(s.Command[0], s.Command[1:]...)
	cmd.Dir, cmd.SysProcAttr = s.Dir, procAttr()
	for _, name := range inherited {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	for name, v := range s.Env {
		cmd.Env = append(cmd.Env, name+"="+v)
	}
	cmd.Stdout, cmd.Stderr = stdio.Stdout, stdio.Stderr
	// Copied by ourselves: os/exec would wait for the last byte of an input that nobody may ever close.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return sandbox.Exit{}, err
	}
	// What it has started may hold its output open.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return sandbox.Exit{}, errdef.New(errdef.ErrNotFound, "there is no program %q on the host", s.Command[0])
		}
		return sandbox.Exit{}, fmt.Errorf("start %s: %w", s.Command[0], err)
	}
	go func() { // ends with the reader, which its owner closes
		defer stdin.Close()
		io.Copy(stdin, stdio.Stdin)
	}()
	g := &group{cmd: cmd}
	unwatch := context.AfterFunc(ctx, g.kill)
	defer unwatch()
	err = g.wait()
	var status *exec.ExitError
	if err == nil || errors.As(err, &status) || errors.Is(err, exec.ErrWaitDelay) {
		return exitOf(cmd.ProcessState), nil
	}
	return sandbox.Exit{}, err
}
