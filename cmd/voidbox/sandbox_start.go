package main

import "github.com/spf13/cobra"

func (c *cli) sandboxStartCommand() *cobra.Command {
	var in inputs
	cmd := &cobra.Command{
		Use:   "start NAME",
		Short: "Start a sandbox that was stopped, or is dead",
		Long: "start makes the machine anew from the sandbox's definition: a file is read again, and secrets are taken from the environment of\n" +
			"this command. What was written inside before the stop is gone, but for what was written to mounts.",
		Args: oneSandbox,
		RunE: func(cmd *cobra.Command, args []string) error {
			soft, hard, stop := c.interrupts(cmd.Context())
			defer stop()
			store, err := c.store()
			if err != nil {
				return err
			}
			claim, err := store.Claim(args[0])
			if err != nil {
				return sandboxFault(err)
			}
			env, err := c.loadDefinition(soft, claim.Definition, &in)
			if err != nil {
				claim.Release()
				return err
			}
			defer env.host.Close(hard)
			return c.launch(soft, hard, claim, env)
		},
	}
	in.flags(cmd)
	return cmd
}
