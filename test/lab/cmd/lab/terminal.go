package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/voidbox-run/voidbox/test/lab"
	"golang.org/x/term"
)

// withInput runs a command and hands our input on. Who reads it ends with the process: a read cannot be given up.
func withInput(ctx context.Context, l *lab.Lab, c lab.Command) (lab.Status, error) {
	s, err := l.Start(ctx, c)
	if err != nil {
		return lab.Status{}, err
	}
	go func() {
		_, _ = io.Copy(s, os.Stdin)
		_ = s.CloseInput()
	}()
	return s.Wait()
}

// onTerminal runs a command on our terminal, which hands every key on, ^C included.
func onTerminal(ctx context.Context, l *lab.Lab, c lab.Command) (lab.Status, error) {
	fd := int(os.Stdin.Fd())
	var err error
	if c.Columns, c.Rows, err = term.GetSize(fd); err != nil {
		return lab.Status{}, fmt.Errorf("-t wants a terminal as standard input: %w", err)
	}
	c.Env = append(c.Env, "TERM="+os.Getenv("TERM"))
	before, err := term.MakeRaw(fd)
	if err != nil {
		return lab.Status{}, err
	}
	defer func() { _ = term.Restore(fd, before) }()
	s, err := l.Start(ctx, c)
	if err != nil {
		return lab.Status{}, err
	}
	go func() { _, _ = io.Copy(s, os.Stdin) }()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	done := make(chan struct{})
	watched := make(chan error, 1)
	go func() { watched <- follow(fd, s, resized, done) }()
	status, err := s.Wait()
	close(done)
	return status, errors.Join(err, <-watched)
}

// follow keeps the command's terminal as large as ours.
func follow(fd int, s *lab.Session, resized <-chan os.Signal, done <-chan struct{}) error {
	for {
		select {
		case <-done:
			return nil
		case <-resized:
		}
		columns, rows, err := term.GetSize(fd)
		if err != nil {
			return err
		}
		if err := s.Resize(rows, columns); err != nil {
			return nil // the lab has ended, as Wait says
		}
	}
}
