package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/config"
)

func (c *cli) validateCommand() *cobra.Command {
	var in inputs
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "validate FILE|DIR",
		Short: "Check a file; nothing is started",
		Long: "validate checks a file, or a directory of files, and the blocks of the plugins that it names. Secrets need not be set.\n" +
			"It exits with 2 when it finds an error, with 3 when all that is wrong is a plugin that is not installed.",
		Example: "  voidbox validate agent.hcl\n" +
			"  voidbox validate --var backend=mock agent.hcl\n" +
			"  voidbox validate --json . | jq -r '.diagnostics[].summary'",
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			opt, err := in.options()
			if err != nil {
				return failWith(exitUsage, err)
			}
			opt.SecretsOptional = true
			host, diags, err := c.hostFor(args[0])
			if err != nil {
				return asMachineFault(err)
			}
			if host != nil {
				defer host.Close(cmd.Context())
				opt.Describe = c.describe(host)
				_, _, diags = config.Load(cmd.Context(), args[0], opt)
			}
			if asJSON {
				return c.diagnosticsJSON(diags)
			}
			if len(diags) > 0 {
				if err := c.showDiagnostics(diags); diags.HasErrors() {
					return err
				}
			}
			_, err = fmt.Fprintln(c.stdout, args[0]+" is valid.")
			return err
		},
	}
	in.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print findings as JSON")
	return cmd
}

func (c *cli) diagnosticsJSON(diags config.Diagnostics) error {
	if diags == nil {
		diags = config.Diagnostics{}
	}
	encoder := json.NewEncoder(c.stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(map[string]any{"valid": !diags.HasErrors(), "diagnostics": diags}); err != nil {
		return err
	}
	if diags.HasErrors() {
		return failShown(c.blame(diags))
	}
	return nil
}
