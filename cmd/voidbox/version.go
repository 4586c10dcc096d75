package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/internal/version"
	"github.com/voidbox-run/voidbox/sdk/base"
)

func (c *cli) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return json.NewEncoder(c.stdout).Encode(map[string]any{
					"version": version.String(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
					"plugin_protocol": base.ProtocolVersion,
				})
			}
			_, err := fmt.Fprintf(c.stdout, "voidbox %s (%s, %s/%s, plugin protocol %d)\n",
				version.String(), runtime.Version(), runtime.GOOS, runtime.GOARCH, base.ProtocolVersion)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
