package main

import (
	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

func (c *cli) attachCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "attach NAME",
		Short: "Follow the main process of a sandbox, and exit as it does",
		Long: "attach prints what the main process wrote and writes, and exits with its status. Ctrl-C lets go of it, and stops nothing. A main\n" +
			"process has no standard input.",
		Args: oneSandbox,
		RunE: func(cmd *cobra.Command, args []string) error {
			soft, _, stop := c.interrupts(cmd.Context())
			defer stop()
			client, err := c.connect(args[0])
			if err != nil {
				return notStarted(err)
			}
			defer client.Close()
			err = client.MainOutput(soft, true, c.stdout, c.stderr)
			var exit sandbox.Exit
			if err == nil {
				exit, err = client.WaitMain(soft)
			}
			if err != nil {
				return notStarted(c.mainFault(args[0], err))
			}
			return (&session{cli: c}).ended(exit)
		},
	}
}
