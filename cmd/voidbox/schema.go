package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/config"
	"github.com/voidbox-run/voidbox/sdk/base"
)

func (c *cli) schemaCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the language and the blocks of the installed plugins",
		Example: "  voidbox schema\n" +
			"  voidbox schema --json | jq '.plugins[] | {kind, name}'",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, err := c.pluginHost()
			if err != nil {
				return failWith(exitMachine, err)
			}
			defer host.Close(cmd.Context())
			plugins := []base.Description{}
			found, err := host.List(cmd.Context())
			if err != nil {
				return failWith(exitMachine, err)
			}
			for _, p := range found {
				if p.Err == nil {
					plugins = append(plugins, p.Description)
				}
			}
			if !asJSON {
				return c.printPluginBlocks(plugins)
			}
			encoder := json.NewEncoder(c.stdout)
			encoder.SetIndent("", "  ")
			return encoder.Encode(map[string]any{"language": config.LanguageSchema(), "plugins": plugins})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON, for editors and other programs")
	return cmd
}

func (c *cli) printPluginBlocks(plugins []base.Description) error {
	fmt.Fprintln(c.stdout, "The language's own blocks are in docs/language.md, and here with --json. Blocks of the installed plugins:")
	for _, p := range plugins {
		fmt.Fprintf(c.stdout, "\n%s %q  # %s\n", p.Kind, p.Name, p.Description)
		c.printSchema(p.Schema, "  ")
	}
	return nil
}

func (c *cli) printSchema(s base.Schema, indent string) {
	for _, a := range s.Attributes {
		need := "optional"
		if a.Required {
			need = "required"
		}
		fmt.Fprintf(c.stdout, "%s%s = %s  # %s. %s\n", indent, a.Name, a.Type, need, a.Description)
	}
	for _, b := range s.Blocks {
		fmt.Fprintf(c.stdout, "%s%s {  # %s\n", indent, b.Type, b.Description)
		c.printSchema(b.Schema, indent+"  ")
		fmt.Fprintf(c.stdout, "%s}\n", indent)
	}
}
