package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/internal/version"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Exit codes. They are part of the interface: docs/cli.md lists them.
const (
	exitOK        = 0
	exitFailed    = 1   // the run failed, or a check found something
	exitUsage     = 2   // the command line or the configuration is wrong; nothing was started
	exitMachine   = 3   // this machine lacks something: no backend, no plugin, no kernel
	exitCancelled = 130 // Ctrl-C
)

// exitError carries an exit code up to execute. Its message was not yet shown unless shown is set.
type exitError struct {
	code  int
	err   error
	shown bool
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func failWith(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code: code, err: err}
}

// errShown is for an error whose message the user has seen already.
var errShown = errors.New("already shown")

func failShown(code int) error { return &exitError{code: code, err: errShown, shown: true} }

// cli is what commands share: where they read and write.
type cli struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	verbose        bool
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &cli{stdin: stdin, stdout: stdout, stderr: stderr}
	root := c.rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		exit = &exitError{code: exitUsage, err: err} // cobra's own: unknown flag, missing argument
	}
	if !exit.shown {
		fmt.Fprintln(stderr, "voidbox:", exit.err)
		if remedy := errdef.Remedy(exit.err); remedy != "" {
			fmt.Fprintln(stderr, "  "+remedy)
		}
	}
	return exit.code
}

func (c *cli) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "voidbox",
		Short:         "Run AI agents in disposable micro-VMs",
		Long:          "voidbox runs an AI agent (prompt, skills and LLM) inside its own disposable micro-VM.",
		Version:       version.String(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			level := slog.LevelWarn
			if c.verbose {
				level = slog.LevelDebug
			}
			slog.SetDefault(slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: level})))
		},
	}
	root.SetVersionTemplate("voidbox {{.Version}}\n")
	root.PersistentFlags().BoolVarP(&c.verbose, "verbose", "v", false, "log what happens inside, plugins included")
	root.AddCommand(c.runCommand(), c.validateCommand(), c.fmtCommand(), c.planCommand(), c.schemaCommand(),
		c.doctorCommand(), c.pluginCommand(), c.versionCommand())
	return root
}
