package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (c *cli) pluginCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "plugin", Short: "Look at the installed plugins", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var asJSON bool
	list := &cobra.Command{
		Use:   "list",
		Short: "List the installed plugins and where they were found",
		Long: "list looks beside the voidbox program, in the directories of $VOIDBOX_PLUGIN_PATH and in ~/.local/share/voidbox/plugins for\n" +
			"programs named voidbox-KIND-NAME, and asks each to describe itself.",
		Example: "  voidbox plugin list\n" +
			"  voidbox plugin list --json | jq -r '.[] | select(.error).path'",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, err := c.pluginHost()
			if err != nil {
				return failWith(exitMachine, err)
			}
			defer host.Close(cmd.Context())
			type row struct {
				Kind        string `json:"kind"`
				Name        string `json:"name"`
				Version     string `json:"version,omitempty"`
				Description string `json:"description,omitempty"`
				Path        string `json:"path"`
				Error       string `json:"error,omitempty"`
			}
			rows := []row{}
			found, err := host.List(cmd.Context())
			if err != nil {
				return failWith(exitMachine, err)
			}
			for _, p := range found {
				r := row{Kind: string(p.Kind), Name: p.Name, Version: p.Description.Version, Description: p.Description.Description, Path: p.Path}
				if p.Err != nil {
					r.Error = p.Err.Error()
				}
				rows = append(rows, r)
			}
			if asJSON {
				encoder := json.NewEncoder(c.stdout)
				encoder.SetIndent("", "  ")
				return encoder.Encode(rows)
			}
			table := tabwriter.NewWriter(c.stdout, 0, 4, 2, ' ', 0)
			fmt.Fprintln(table, "KIND\tNAME\tVERSION\tPATH\tDESCRIPTION")
			for _, r := range rows {
				if r.Error != "" {
					r.Description = "! " + r.Error
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.Kind, r.Name, r.Version, r.Path, r.Description)
			}
			return table.Flush()
		},
	}
	list.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(list)
	return cmd
}
