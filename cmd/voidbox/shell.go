package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/run"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

func (c *cli) shellCommand() *cobra.Command {
	var flags createFlags
	cmd := &cobra.Command{
		Use:   "shell [NAME]",
		Short: "Open a shell in a named sandbox, or in one that goes with the shell",
		Long: "shell opens a shell, bash where there is one, with a terminal: colours, resizing, job control and Ctrl-C are the sandbox's own. It exits\n" +
			"with the shell's status.\n\n" +
			"Without a name a sandbox is made from the flags, or from a file's sandbox block, and nothing of it is left when the shell ends.",
		Example: "  voidbox shell dev\n" +
			"  voidbox shell --mount .:/workspace:rw --network slirp --memory 1GiB\n" +
			"  voidbox shell --file agent.hcl",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.ephemeralShell(cmd, &flags)
			}
			given := slices.DeleteFunc(append(slices.Clone(sandboxFlagNames), "file", "block", "var", "var-file"), func(name string) bool {
				return !cmd.Flags().Changed(name)
			})
			if len(given) > 0 {
				return failUsage(errdef.New(errdef.ErrInvalid, "%s was made already, and is as it is", args[0]), "take out: %s", strings.Join(asFlags(given), " "))
			}
			client, err := c.connect(args[0])
			if err != nil {
				return notStarted(err)
			}
			defer client.Close()
			return c.shell(cmd.Context(), client, true)
		},
	}
	flags.inputs.flags(cmd)
	flags.sandboxFlags.flags(cmd)
	cmd.Flags().StringVarP(&flags.file, "file", "f", "", "take the sandbox block of this `file`")
	cmd.Flags().StringVar(&flags.block, "block", "", "take the sandbox block of this `name`, where the file has several")
	return cmd
}

// shell runs a shell in a sandbox, with a terminal if there is one here.
func (c *cli) shell(ctx context.Context, box sandbox.Sandbox, forward bool) error {
	command := sandbox.Command{Args: []string{"/bin/sh"}, Env: map[string]string{}}
	for _, bash := range []string{"/bin/bash", "/usr/bin/bash"} {
		if _, err := box.Stat(ctx, bash, true); err == nil {
			command.Args = []string{bash, "-l"}
			break
		}
	}
	for _, name := range []string{"COLORTERM"} { // TERM goes its own way
		if value := os.Getenv(name); value != "" {
			command.Env[name] = value
		}
	}
	s := &session{cli: c, box: box, command: command, tty: isTTY(c.stdout) && isTTYReader(c.stdin), read: true, forward: forward}
	return s.run(ctx)
}

// ephemeralName is that of a sandbox that goes with its shell.
const ephemeralName = "shell"

// ephemeralShell makes a sandbox for one shell. It belongs to this process, and goes with it whatever way that ends.
func (c *cli) ephemeralShell(cmd *cobra.Command, flags *createFlags) error {
	soft, hard, stop := c.interrupts(cmd.Context())
	defer stop()
	d, err := flags.definition(cmd, ephemeralName, nil)
	if err != nil {
		return failWith(exitUsage, err)
	}
	env, err := c.loadDefinition(soft, d, nil)
	if err != nil {
		return err
	}
	defer env.host.Close(hard)
	box, err := c.open(soft, hard, env)
	if err != nil {
		return err
	}
	shellErr := c.shell(soft, box, false)
	closing, cancel := context.WithTimeout(hard, stopPatience)
	defer cancel()
	if err := box.Close(closing); err != nil && shellErr == nil {
		return failWith(exitFailed, err)
	}
	return shellErr
}

// open makes a sandbox in this process, and shows how that goes.
func (c *cli) open(soft, hard context.Context, env *environment) (*run.Box, error) {
	sink, closeView := c.view(false)
	defer closeView()
	box, err := run.Open(soft, run.Config{Plan: env.plan, Host: run.Plugins(env.host), Sinks: []event.Sink{sink}, Hard: hard}, env.sandbox)
	if err != nil {
		if errors.Is(context.Cause(soft), errInterrupted) {
			return nil, failWith(exitCancelled, errInterrupted)
		}
		return nil, failWith(run.ExitCode(err), err)
	}
	return box, nil
}
