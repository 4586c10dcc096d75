package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func (c *cli) sandboxRemoveCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "remove NAME...",
		Aliases: []string{"rm"},
		Short:   "Remove sandboxes and what is kept of them",
		Args:    someSandboxes,
		RunE: func(cmd *cobra.Command, args []string) error {
			soft, _, stop := c.interrupts(cmd.Context())
			defer stop()
			store, err := c.store()
			if err != nil {
				return err
			}
			for _, name := range args {
				if force {
					if err := c.stop(soft, name, 0); err != nil && !stoppable(err) {
						return err
					}
				}
				if err := store.Remove(name); err != nil {
					return sandboxFault(err)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "stop what runs")
	return cmd
}

// stoppable tells whether a sandbox that could not be stopped can be removed all the same: it does not run, or its documents are broken.
func stoppable(err error) bool {
	return errors.Is(err, errdef.ErrState) || errors.Is(err, errdef.ErrDataLoss) || errors.Is(err, errdef.ErrUnsupported)
}
