package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/shim"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func (c *cli) logsCommand() *cobra.Command {
	var follow, console bool
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Print what the main process of a sandbox wrote",
		Long: "logs prints what the main process wrote to its standard output and error, to the same: the last MiB while the sandbox runs, and up\n" +
			"to 16 MiB of its last run afterwards. --console prints what the machine wrote to its console instead.",
		Args: oneSandbox,
		RunE: func(cmd *cobra.Command, args []string) error {
			soft, _, stop := c.interrupts(cmd.Context())
			defer stop()
			b, err := c.named(args[0])
			if err != nil {
				return err
			}
			switch {
			case console:
				err = b.Console(c.stdout)
			case b.Instance.State == shim.Running:
				err = c.mainOutput(soft, b, follow)
			default:
				err = b.Output(c.stdout, c.stderr)
			}
			return sandboxFault(err)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the main process ends")
	cmd.Flags().BoolVar(&console, "console", false, "print the machine's console")
	cmd.MarkFlagsMutuallyExclusive("follow", "console")
	return cmd
}

// mainOutput copies the output of a main process; Ctrl-C ends that.
func (c *cli) mainOutput(ctx context.Context, b *shim.Sandbox, follow bool) error {
	client, err := b.Connect()
	if err != nil {
		return err
	}
	defer client.Close()
	err = client.MainOutput(ctx, follow, c.stdout, c.stderr)
	return c.mainFault(b.Name, err)
}

func (c *cli) mainFault(name string, err error) error {
	switch {
	case errors.Is(err, errdef.ErrNotFound):
		return errdef.New(errdef.ErrState, "sandbox %s has no main process of its own", name).
			WithRemedy("give it one when it is made: voidbox sandbox create NAME -- PROGRAM")
	case errors.Is(err, context.Canceled):
		return failShown(exitCancelled)
	}
	return err
}
