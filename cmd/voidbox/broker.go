package main

import (
	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/broker"
)

// brokerCommand is the process that holds credentials for guests. Nobody types it.
func (c *cli) brokerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    broker.Command + " SOCKET",
		Short:  "Hold credentials for guests (started by voidbox itself)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return failWith(exitFailed, broker.Serve(args[0], c.stdin, c.stdout))
		},
	}
}
