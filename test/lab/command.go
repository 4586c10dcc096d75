package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"syscall"

	"github.com/voidbox-run/voidbox/test/lab/internal/wire"
)

// Command is what to run in the lab.
type Command struct {
	Args   []string // the program, looked for in /lab and then in the usual places, and its arguments
	Env    []string // added to the lab's own
	Dir    string   // "" is /lab
	Stdout io.Writer
	Stderr io.Writer
	// Terminal runs it on a pseudo-terminal, whose output is Stdout.
	Terminal      bool
	Rows, Columns int
}

// Status is how a command ended.
type Status struct {
	Code   int            // exit status, 128 and the signal where one killed it
	Signal syscall.Signal // 0 where none did
}

// StartError says that a command could not be started.
type StartError struct {
	Command string
	Reason  string
}

func (e *StartError) Error() string {
	return fmt.Sprintf("start %s in the lab: %s", e.Command, e.Reason)
}

// Run runs a command, without input, until it ends. What it leaves behind is killed. An error means that the command was
// not run, or that the lab is no more; a command that fails is a Status.
func (l *Lab) Run(ctx context.Context, c Command) (Status, error) {
	s, err := l.Start(ctx, c)
	if err != nil {
		return Status{}, err
	}
	if err := s.CloseInput(); err != nil {
		s.lab.machine.kill()
	}
	return s.Wait()
}

// Session is a command that runs. Wait must be called.
type Session struct {
	lab     *Lab
	ctx     context.Context
	release func()
	command Command
}

// Start starts a command, when the one before it has ended. The end of ctx kills the lab.
func (l *Lab) Start(ctx context.Context, c Command) (*Session, error) {
	l.turn.Lock()
	stop := context.AfterFunc(ctx, l.machine.kill)
	s := &Session{lab: l, ctx: ctx, command: c, release: func() { stop(); l.turn.Unlock() }}
	err := l.host.WriteJSON(wire.Start, wire.Command{
		Args: c.Args, Env: c.Env, Dir: c.Dir, Terminal: c.Terminal, Size: size(c.Rows, c.Columns),
	})
	if err != nil {
		s.release()
		return nil, fmt.Errorf("start a command in the lab: %w", ctxErr(ctx, err))
	}
	return s, nil
}

// Write sends bytes to the command's standard input.
func (s *Session) Write(p []byte) (int, error) { return s.lab.host.Stream(wire.Input).Write(p) }

// CloseInput ends the command's standard input.
func (s *Session) CloseInput() error { return s.lab.host.Write(wire.Input, nil) }

// Resize tells the command's terminal its new size.
func (s *Session) Resize(rows, columns int) error {
	return s.lab.host.WriteJSON(wire.Resize, size(rows, columns))
}

// Signal sends a signal to the command's process group.
func (s *Session) Signal(signal syscall.Signal) error {
	return s.lab.host.Write(wire.Signal, []byte{byte(signal)})
}

// Wait hands on the command's output until it has ended.
func (s *Session) Wait() (Status, error) {
	defer s.release()
	for {
		kind, body, err := s.lab.read(s.ctx)
		if err != nil {
			return Status{}, err
		}
		switch kind {
		case wire.Output:
			err = write(s.command.Stdout, body)
		case wire.Errors:
			err = write(s.command.Stderr, body)
		case wire.Exit:
			return s.status(body)
		}
		if err != nil {
			s.lab.machine.kill()
			return Status{}, fmt.Errorf("output of %s: %w", s.command.Args[0], err)
		}
	}
}

func (s *Session) status(body []byte) (Status, error) {
	var status wire.Status
	if err := json.Unmarshal(body, &status); err != nil {
		return Status{}, fmt.Errorf("the lab's status: %w", err)
	}
	if status.Error != "" {
		return Status{}, &StartError{s.command.Args[0], status.Error}
	}
	return Status{Code: status.Code, Signal: syscall.Signal(status.Signal)}, nil
}

func write(w io.Writer, p []byte) error {
	if w == nil {
		return nil
	}
	_, err := w.Write(p)
	return err
}

func size(rows, columns int) wire.Size {
	return wire.Size{Rows: uint16(rows), Columns: uint16(columns)}
}
