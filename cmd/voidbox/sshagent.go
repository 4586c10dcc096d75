package main

import (
	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/sshagent"
)

// sshAgentCommand is the process that holds SSH keys for a guest. Nobody types it.
func (c *cli) sshAgentCommand() *cobra.Command {
	return &cobra.Command{
		Use:    sshagent.Command,
		Short:  "Hold SSH keys for a guest (started by voidbox itself)",
		Hidden: true,
		Args:   noArguments,
		RunE: func(*cobra.Command, []string) error {
			return failWith(exitFailed, sshagent.Serve(c.stdin, c.stdout))
		},
	}
}
