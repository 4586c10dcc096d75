package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/agentimage"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func (c *cli) agentImageCommand() *cobra.Command {
	var packages []string
	var rebuild, asJSON bool
	cmd := &cobra.Command{
		Use: "agent-image [NAME]", Short: "Build an image with a command-line agent in it", Args: cobra.MaximumNArgs(1),
		Long: "agent-image makes the image in which an agent with mode = \"cli\" runs: a small Debian and the agent's program, out of Debian's\n" +
			"archive and the npm registry, each npm package held to the SHA-512 that voidbox has for it. Nothing is shipped with voidbox:\n" +
			"programs are fetched at your command, under their makers' licences. Without a name it lists what it can build.\n\n" +
			"An image that is there is left alone; --rebuild makes it anew, with Debian's packages of today. The npm registry is that of\n" +
			"$NPM_CONFIG_REGISTRY or ~/.npmrc. It needs mmdebstrap, and no root.",
		Example: "  voidbox agent-image codex\n  voidbox agent-image --package python3,make claude-code",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.listRecipes(asJSON)
			}
			r, err := agentimage.Find(args[0])
			if err != nil {
				return failWith(exitUsage, err)
			}
			for _, name := range packages {
				if !agentimage.IsPackage(name) {
					return failUsage(fmt.Errorf("%q is not the name of a Debian package", name), "names are such as python3 or g++")
				}
			}
			return c.buildAgentImage(cmd.Context(), r.With(packages...), rebuild)
		},
	}
	cmd.Flags().StringSliceVar(&packages, "package", nil, "add Debian `packages`; repeatable")
	cmd.Flags().BoolVar(&rebuild, "rebuild", false, "build although the image is there")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the list, with all that is pinned, as JSON")
	return cmd
}

func (c *cli) listRecipes(asJSON bool) error {
	list, err := agentimage.Recipes()
	if err != nil {
		return failWith(exitFailed, err)
	}
	if asJSON {
		return c.printJSON(list)
	}
	table := tabwriter.NewWriter(c.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tVERSION\tLICENCE\tPROGRAM\tIMAGE")
	for _, r := range list {
		var programs []string
		for name := range r.Programs {
			programs = append(programs, name)
		}
		sort.Strings(programs)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.Name, r.Version, r.Licence, strings.Join(programs, " "), r.Image())
	}
	return table.Flush()
}

func (c *cli) buildAgentImage(ctx context.Context, r agentimage.Recipe, rebuild bool) error {
	soft, _, stop := c.interrupts(ctx)
	defer stop()
	soft, cache, err := c.images(soft)
	if err != nil {
		return err
	}
	if r.Terms != "" {
		c.say(fmt.Sprintf("  %s is not free software. It is fetched from its makers' package at your command; their terms are at %s", r.Title, r.Terms))
	}
	home, _ := os.UserHomeDir()
	b := &agentimage.Builder{
		Cache: cache, Registry: agentimage.Registry(os.Getenv, home),
		Progress: func(line string) { c.say("  " + event.Clean(line)) },
	}
	built, err := b.Build(soft, r, rebuild)
	switch {
	case errors.Is(err, context.Canceled):
		return failWith(exitCancelled, err)
	case errors.Is(err, errdef.ErrUnavailable):
		return failWith(exitMachine, err)
	case err != nil:
		return imageFault(err)
	}
	fmt.Fprintf(c.stdout, "%s  %s  %s\n", built.Name, built.ShortID(), bytesText(built.Used))
	if built.Fresh {
		c.say(fmt.Sprintf("  use it with: image = %q", r.Image()))
	}
	return nil
}
