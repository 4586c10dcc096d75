package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// oneFile wants the one argument of commands that read a configuration.
func oneFile(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return failUsage(fmt.Errorf("%s needs a file, or a directory of files", cmd.Name()), "for example: %s agent.hcl", cmd.CommandPath())
	case len(args) > 1:
		return failUsage(fmt.Errorf("%s takes one file, not %d: %s", cmd.Name(), len(args), strings.Join(args, ", ")),
			"files that belong together lie in one directory: %s DIRECTORY", cmd.CommandPath())
	}
	return nil
}

// noArguments wants none.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, but got %s", cmd.Name(), strings.Join(args, ", "))
	}
	return nil
}
