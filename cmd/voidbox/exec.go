package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// Exit codes of commands that run another one, as env, nohup and timeout have them (coreutils). All others are the command's own.
const (
	exitTimedOut   = 124 // the time limit ended it
	exitNotStarted = 125 // voidbox could not get as far as running it
	exitCannotRun  = 126 // it was found, but may not or cannot be run
	exitNoProgram  = 127 // it was not found
)

type execFlags struct {
	env                []string
	workdir, user      string
	timeout            time.Duration
	tty, noTTY, noRead bool
}

func (c *cli) execCommand() *cobra.Command {
	var flags execFlags
	cmd := &cobra.Command{
		Use:   "exec NAME -- COMMAND [ARG...]",
		Short: "Run a command in a named sandbox",
		Long: "exec runs a command, passes on what comes in and goes out byte by byte, and exits with the command's own status; 128 and the\n" +
			"number of the signal that ended it; 124 when --timeout did; 127 when there is no such program and 126 when it cannot be run; and\n" +
			"125 when voidbox could not get that far.\n\n" +
			"A terminal is made for the command where both standard input and output are one. Without it, INT, TERM, HUP and QUIT are passed\n" +
			"on, and a second INT kills the command.",
		Example: "  voidbox exec dev -- uname -a\n" +
			"  voidbox exec -e CI=1 -w /workspace dev -- make test\n" +
			"  tar -c src | voidbox exec dev -- tar -x -C /workspace",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 || cmd.ArgsLenAtDash() > 1 {
				return failUsage(errors.New("exec needs the name of a sandbox, and a command"), "for example: voidbox exec dev -- uname -a")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return c.exec(cmd.Context(), args[0], args[1:], &flags) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return failUsage(err, "flags of the command itself go behind --, as in: voidbox exec dev -- ls -l")
	})
	f := cmd.Flags()
	f.StringArrayVarP(&flags.env, "env", "e", nil, "set a variable, `NAME=VALUE`, or pass on the one of this environment, NAME; repeatable")
	f.StringVarP(&flags.workdir, "workdir", "w", "", "run it in this `directory`")
	f.StringVarP(&flags.user, "user", "u", "", "run it as this `user`: a name or uid[:gid]")
	f.DurationVar(&flags.timeout, "timeout", 0, "kill it after this `time`")
	f.BoolVarP(&flags.tty, "tty", "t", false, "make a terminal for it in any case")
	f.BoolVarP(&flags.noTTY, "no-tty", "T", false, "make none in any case")
	f.BoolVarP(&flags.noRead, "no-stdin", "n", false, "give it an empty standard input")
	cmd.MarkFlagsMutuallyExclusive("tty", "no-tty")
	return cmd
}

func (c *cli) exec(ctx context.Context, name string, args []string, flags *execFlags) error {
	env, err := commandEnv(flags.env)
	if err != nil {
		return failWith(exitNotStarted, err)
	}
	client, err := c.connect(name)
	if err != nil {
		return notStarted(err)
	}
	defer client.Close()
	s := &session{
		cli: c, box: client, forward: true, tty: flags.tty || !flags.noTTY && !flags.noRead && isTTY(c.stdout) && isTTYReader(c.stdin), read: !flags.noRead,
		command: sandbox.Command{Args: args, Env: env, Dir: flags.workdir, User: flags.user, Timeout: flags.timeout},
	}
	return s.run(ctx)
}

// commandEnv reads the variables of a command; those without a value that are not set here are left out, as env(1) users expect.
func commandEnv(args []string) (map[string]string, error) {
	env := map[string]string{}
	for _, arg := range args {
		name, value, given := strings.Cut(arg, "=")
		if name == "" {
			return nil, errdef.New(errdef.ErrInvalid, "--env %q: want NAME=VALUE, or NAME", arg)
		}
		if !given {
			if value, given = os.LookupEnv(name); !given {
				continue
			}
		}
		env[name] = value
	}
	return env, nil
}

// notStarted is the error of a command that voidbox did not get as far as running.
func notStarted(err error) error {
	var exit *exitError
	if errors.As(err, &exit) && exit.shown {
		return &exitError{code: exitNotStarted, err: exit.err, shown: true}
	}
	return failWith(exitNotStarted, err)
}

// ended turns the end of a command into that of voidbox.
func (s *session) ended(exit sandbox.Exit) error {
	code := exit.Code
	switch {
	case exit.TimedOut:
		code = exitTimedOut
		fmt.Fprintf(s.cli.stderr, "voidbox: the command took longer than %v and was killed\n", s.command.Timeout)
	case exit.OOMKilled:
		fmt.Fprintln(s.cli.stderr, "voidbox: the command was killed for want of memory")
	}
	if code == exitOK {
		return nil
	}
	return failShown(code)
}

// failed sorts what kept a command from running, or broke it off.
func (s *session) failed(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return failShown(exitCancelled)
	case s.command.Dir != "" && errors.Is(err, errdef.ErrNotFound):
		if found, _ := sandbox.Exists(context.WithoutCancel(ctx), s.box, s.command.Dir); !found {
			return failWith(exitNotStarted, err)
		}
		return failWith(exitNoProgram, err)
	case errors.Is(err, errdef.ErrNotFound):
		return failWith(exitNoProgram, err)
	case errors.Is(err, errdef.ErrPermission):
		return failWith(exitCannotRun, err)
	}
	return failWith(exitNotStarted, err)
}
