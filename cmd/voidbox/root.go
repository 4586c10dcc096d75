package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/internal/version"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Exit codes. They are part of the interface: docs/cli.md lists them.
const (
	exitOK        = 0
	exitFailed    = 1   // the run failed, or a check found something
	exitUsage     = 2   // the command line or the configuration is wrong, or names a plugin that is not there; nothing was started
	exitMachine   = 3   // this machine lacks something: no backend, no QEMU, no sound kernel, no room in the cache
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

// failUsage blames the command line and says what to do next.
func failUsage(err error, remedy string, args ...any) *exitError {
	return &exitError{code: exitUsage, err: errdef.New(errdef.ErrInvalid, "%w", err).WithRemedy(remedy, args...)}
}

// errShown is for an error whose message the user has seen already.
var errShown = errors.New("already shown")

// asMachineFault is failWith(exitMachine, err) for an error that nobody has graded yet.
func asMachineFault(err error) error {
	var exit *exitError
	if errors.As(err, &exit) {
		return err
	}
	return failWith(exitMachine, err)
}

func failShown(code int) error { return &exitError{code: code, err: errShown, shown: true} }

// cli is what commands share: where they read and write.
type cli struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *logWriter // standard error for what may be said at any time
	level          slog.LevelVar
	verbose        bool
	refused        atomic.Bool // a plugin was there but not accepted
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &output{w: stdout}
	c := &cli{stdin: stdin, stdout: out, stderr: stderr, log: &logWriter{w: stderr}}
	root := c.rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if lost := out.lost(); lost != nil && (err == nil || errors.Is(err, lost)) {
		err = failWith(exitFailed, fmt.Errorf("write standard output: %w", lost))
	}
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if !errors.As(err, &exit) { // cobra's own: unknown flag, missing argument
		exit = failUsage(err, "%s --help tells what it takes", cmd.CommandPath())
	}
	if !exit.shown {
		c.showError(exit.err)
	}
	return exit.code
}

func (c *cli) showError(err error) {
	fmt.Fprintln(c.stderr, "voidbox:", event.Clean(err.Error()))
	if remedy := errdef.Remedy(err); remedy != "" {
		fmt.Fprintln(c.stderr, "  "+event.Clean(remedy))
	}
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
			c.level.Set(slog.LevelWarn)
			if c.verbose {
				c.level.Set(slog.LevelDebug)
			}
			slog.SetDefault(slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: &c.level})))
		},
	}
	root.SetVersionTemplate("voidbox {{.Version}}\n")
	root.PersistentFlags().BoolVarP(&c.verbose, "verbose", "v", false, "log what happens inside, plugins included")
	root.AddCommand(c.runCommand(), c.resumeCommand(), c.validateCommand(), c.fmtCommand(), c.planCommand(), c.whyCommand(),
		c.psCommand(), c.publishCommand(), c.unpublishCommand(), c.cancelCommand(),
		c.sandboxCommand(), c.execCommand(), c.shellCommand(),
		c.logsCommand(), c.cpCommand(), c.diffCommand(), c.applyCommand(), c.discardCommand(), c.attachCommand(), c.statsCommand(), c.infoCommand(), c.lsCommand(),
		c.schemaCommand(), c.doctorCommand(), c.imageCommand(), c.agentImageCommand(), c.pluginCommand(), c.versionCommand(), c.shimCommand(), c.brokerCommand(), c.sshAgentCommand())
	return root
}
