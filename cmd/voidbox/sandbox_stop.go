package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// stopPatience is what an orderly end may take beside its grace.
const stopPatience = time.Minute

func (c *cli) sandboxStopCommand() *cobra.Command {
	var grace time.Duration
	cmd := &cobra.Command{
		Use:   "stop NAME...",
		Short: "Stop sandboxes: the main process first, then the machine",
		Long: "stop asks the main process to end (SIGTERM), then all others, kills what is left after the grace, and ends the machine. The\n" +
			"definition stays: start makes the sandbox anew.",
		Args: someSandboxes,
		RunE: func(cmd *cobra.Command, args []string) error {
			soft, _, stop := c.interrupts(cmd.Context())
			defer stop()
			for _, name := range args {
				if err := c.stop(soft, name, grace); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&grace, "grace", 0, "`time` between SIGTERM and SIGKILL (default 5s)")
	return cmd
}

// stop ends a sandbox; Ctrl-C makes it a kill.
func (c *cli) stop(ctx context.Context, name string, grace time.Duration) error {
	store, err := c.store()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, grace+stopPatience)
	defer cancel()
	return sandboxFault(store.Stop(ctx, name, grace))
}
