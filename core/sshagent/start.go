package sshagent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/voidbox-run/voidbox/internal/companion"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Agent is an agent that runs, in a process of its own.
type Agent struct {
	process *companion.Process
	heard   func(Report)
	first   chan Report // one, or none
	done    chan struct{}
	err     error // why it ended; set before done is closed
}

// Launch says how an agent is started.
type Launch struct {
	Program string       // of voidbox; empty means the running one, or the one beside it
	Heard   func(Report) // called with every use of a key, from one goroutine; it must not block for long
}

// Start starts an agent that serves the socket at path, which it makes, and waits until it does. The socket stays behind: it lies
// in a directory of the caller's.
func Start(ctx context.Context, path string, cfg Config, launch Launch) (*Agent, error) {
	a := &Agent{heard: launch.Heard, first: make(chan Report, 1), done: make(chan struct{})}
	if a.heard == nil {
		a.heard = func(Report) {}
	}
	socket, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("start the SSH agent: %w", err)
	}
	defer socket.Close()
	a.process, err = companion.Start(companion.Config{Program: launch.Program, Args: []string{Command}, Files: []*os.File{socket}})
	if err != nil {
		return nil, fmt.Errorf("start the SSH agent: %w", err)
	}
	go a.attend()
	if err := a.configure(ctx, cfg); err != nil {
		a.process.Kill()
		<-a.done
		return nil, err
	}
	return a, nil
}

// listen makes a socket that only this user may connect to.
func listen(path string) (*os.File, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, err
	}
	return l.File()
}

// configure tells the process what to do, and waits for its first word.
func (a *Agent) configure(ctx context.Context, cfg Config) error {
	if err := json.NewEncoder(a.process.In).Encode(cfg); err != nil {
		<-a.done
		return a.err
	}
	select {
	case r := <-a.first:
		if r.Failed != nil {
			return errdef.New(errdef.ErrInvalid, "%s", r.Failed.Message).WithRemedy("%s", r.Failed.Remedy)
		}
		return nil
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// attend passes on what the process says, to its end.
func (a *Agent) attend() {
	defer close(a.done)
	a.listen(a.process.Out)
	a.err = errdef.New(errdef.ErrUnavailable, "the SSH agent ended: %w", a.process.Wait())
}

func (a *Agent) listen(out io.Reader) {
	dec := json.NewDecoder(out)
	for {
		var r Report
		if err := dec.Decode(&r); err != nil {
			if !errors.Is(err, io.EOF) {
				a.process.Kill() // it speaks nonsense
				_, _ = io.Copy(io.Discard, out)
			}
			return
		}
		if r.Ready || r.Failed != nil {
			select {
			case a.first <- r:
			default: // it said so before
			}
			continue
		}
		a.heard(r)
	}
}

// Done is closed when the agent has ended, by Close or by itself; then Err says how.
func (a *Agent) Done() <-chan struct{} { return a.done }

// Err says how the agent ended, once it has.
func (a *Agent) Err() error { return a.err }

// Close ends the agent. The end of ctx ends the patience with it.
func (a *Agent) Close(ctx context.Context) {
	_ = a.process.In.Close()
	select {
	case <-a.done:
	case <-ctx.Done():
		a.process.Kill()
		<-a.done
	}
}
