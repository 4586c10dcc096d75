package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/shim"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func (c *cli) sandboxCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Make and keep named sandboxes",
		Long: "A named sandbox stays until it is stopped, whatever becomes of the command that made it. exec, shell, cp, logs, stats, info and\n" +
			"attach work in it.",
		Example: "  voidbox sandbox create dev --cpus 2 --memory 1GiB\n" +
			"  voidbox exec dev -- uname -a\n" +
			"  voidbox shell dev\n" +
			"  voidbox sandbox stop dev\n" +
			"  voidbox sandbox remove dev",
	}
	cmd.AddCommand(c.sandboxCreateCommand(), c.sandboxStartCommand(), c.sandboxListCommand(), c.sandboxInspectCommand(), c.sandboxStopCommand(),
		c.sandboxRemoveCommand())
	return cmd
}

// oneSandbox wants the name of one.
func oneSandbox(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return failUsage(fmt.Errorf("%s needs the name of a sandbox", cmd.Name()), "voidbox sandbox list tells which there are")
	}
	return nil
}

// someSandboxes wants names.
func someSandboxes(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return failUsage(fmt.Errorf("%s needs the name of a sandbox", cmd.Name()), "voidbox sandbox list tells which there are")
	}
	return nil
}

// store opens the user's named sandboxes.
func (c *cli) store() (*shim.Store, error) {
	store, err := shim.OpenStore("")
	return store, asMachineFault(err)
}

// named returns a sandbox of the store.
func (c *cli) named(name string) (*shim.Sandbox, error) {
	store, err := c.store()
	if err != nil {
		return nil, err
	}
	b, err := store.Get(name)
	return b, sandboxFault(err)
}

// connect connects to a sandbox that runs.
func (c *cli) connect(name string) (*shim.Client, error) {
	b, err := c.named(name)
	if err != nil {
		return nil, err
	}
	client, err := b.Connect()
	return client, sandboxFault(err)
}

// sandboxFault gives an error about a named sandbox its exit code.
func sandboxFault(err error) error {
	var exit *exitError
	var start *shim.StartError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return err
	case errors.As(err, &start):
		return failWith(start.ExitCode, err)
	case errors.Is(err, errdef.ErrInvalid):
		return failWith(exitUsage, err)
	case errors.Is(err, errInterrupted):
		return failWith(exitCancelled, err)
	}
	return failWith(exitFailed, err)
}
