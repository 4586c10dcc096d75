package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/image/source"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func (c *cli) imageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "image", Short: "Fetch, look at and remove root file systems", Args: cobra.NoArgs,
		Long: "An image is made a disk once, which all sandboxes that name it share. It may come from a registry, an OCI layout, an archive\n" +
			"of docker save or a directory; docs/language.md lists how it is named.",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.imagePullCommand(), c.imageBuildCommand(), c.imageListCommand(), c.imageInspectCommand(), c.imageRemoveCommand(), c.imagePruneCommand())
	return cmd
}

// images opens the cache, and has its slow steps shown.
func (c *cli) images(ctx context.Context) (context.Context, *image.Cache, error) {
	cache, err := image.OpenCache("")
	if err != nil {
		return ctx, nil, failWith(exitMachine, err)
	}
	return image.WithProgress(ctx, func(line string) { c.say("  " + event.Clean(line)) }), cache, nil
}

// imageFault grades an error of the cache.
func imageFault(err error) error {
	var full *image.FullError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &full):
		return failWith(exitMachine, err)
	case errors.Is(err, errdef.ErrNotFound), errors.Is(err, errdef.ErrInvalid), errors.Is(err, errdef.ErrUnsupported):
		return failWith(exitUsage, err)
	}
	return failWith(exitFailed, err)
}

func (c *cli) imagePullCommand() *cobra.Command {
	return &cobra.Command{
		Use: "pull IMAGE...", Short: "Fetch images, or fetch them again", Args: cobra.MinimumNArgs(1),
		Long: "pull asks the registry even for a tag that the cache knows. Layers that are there already are not fetched again, and a pull\n" +
			"that broke off is resumed. Credentials are those of docker login, or of $DOCKER_AUTH_CONFIG.",
		Example: "  voidbox image pull docker.io/library/node:22-slim\n  voidbox image pull oci:./layout",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.pullImages(cmd.Context(), args, "", func(s source.Source) error {
				if !s.OCI() {
					return failUsage(fmt.Errorf("%s is there already", s), "name an image of a registry")
				}
				return nil
			})
		},
	}
}

func (c *cli) imageBuildCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "build LAYOUT|ARCHIVE|DIRECTORY", Short: "Make an image of something on this machine", Args: cobra.ExactArgs(1),
		Long: "build makes the disk of an OCI layout, an archive of docker save or a directory that is a root file system. A sandbox that\n" +
			"names one of these does so by itself; build is for doing it in advance, and for giving it a name.",
		Example: "  mmdebstrap bookworm ./rootfs && voidbox image build --name local/debian:12 ./rootfs",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.pullImages(cmd.Context(), args, name, func(s source.Source) error {
				if s.Path == "" || !s.OCI() {
					return failUsage(fmt.Errorf("%s is not an OCI layout, an archive or a directory", s), "voidbox image pull fetches images of registries")
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "give it this `name` too, such as local/tools:1")
	return cmd
}

func (c *cli) pullImages(ctx context.Context, args []string, name string, check func(source.Source) error) error {
	soft, _, stop := c.interrupts(ctx)
	defer stop()
	soft, cache, err := c.images(soft)
	if err != nil {
		return err
	}
	for _, arg := range args {
		s, err := source.Parse(arg, "")
		if err != nil {
			return failWith(exitUsage, err)
		}
		if err := check(s); err != nil {
			return err
		}
		img, err := cache.Pull(soft, s)
		if errors.Is(err, context.Canceled) {
			return failWith(exitCancelled, err)
		}
		if err != nil {
			return imageFault(err)
		}
		if name != "" {
			if err := cache.SetImageName(name, img); err != nil {
				return imageFault(err)
			}
		}
		fmt.Fprintf(c.stdout, "%s  %s  %s, %d files\n", orFirst(name, s.String()), img.ShortID(), bytesText(img.Used), img.Files)
	}
	return nil
}

func orFirst(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func bytesText(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func (c *cli) imageListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the images in the cache", Args: noArguments, Aliases: []string{"ls"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, cache, err := c.images(cmd.Context())
			if err != nil {
				return err
			}
			list, err := cache.Images()
			if err != nil {
				return imageFault(err)
			}
			if asJSON {
				if list == nil {
					list = []image.Listed{}
				}
				return c.printJSON(list)
			}
			table := tabwriter.NewWriter(c.stdout, 0, 4, 2, ' ', 0)
			fmt.Fprintln(table, "NAME\tID\tSIZE\tFILES\tMADE")
			for _, l := range list {
				names := l.Names
				if len(names) == 0 {
					names = []string{"-"}
				}
				for _, n := range names {
					fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\n", n, l.ShortID(), bytesText(l.Used), l.Files, l.Built.Local().Format("2006-01-02 15:04"))
				}
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *cli) imageInspectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "inspect NAME|ID", Short: "Show what an image in the cache says of itself, as JSON", Args: cobra.ExactArgs(1),
		Example: "  voidbox image inspect docker.io/library/node:22-slim | jq .config.env",
		RunE: func(cmd *cobra.Command, args []string) error {
			_, cache, err := c.images(cmd.Context())
			if err != nil {
				return err
			}
			l, err := cache.FindImage(args[0])
			if err != nil {
				return imageFault(err)
			}
			return c.printJSON(struct {
				image.Listed
				Disk string `json:"disk"`
			}{l, l.Disk()})
		},
	}
}

func (c *cli) imageRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME|ID...", Short: "Remove images from the cache", Args: cobra.MinimumNArgs(1), Aliases: []string{"rm"},
		Long: "remove takes a name away, and the image with its last name; an ID takes the image and all its names. Sandboxes that run from\n" +
			"it go on.",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cache, err := c.images(cmd.Context())
			if err != nil {
				return err
			}
			for _, arg := range args {
				if _, err := cache.RemoveImage(ctx, arg); err != nil {
					return imageFault(err)
				}
				fmt.Fprintf(c.stdout, "removed %s\n", strings.TrimSpace(arg))
			}
			return nil
		},
	}
}

func (c *cli) imagePruneCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove downloads, and images that no name leads to", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cache, err := c.images(cmd.Context())
			if err != nil {
				return err
			}
			p, err := cache.Prune(ctx, all)
			fmt.Fprintf(c.stdout, "removed %d images and %d downloads, %s\n", p.Images, p.Downloads, bytesText(p.Bytes))
			return imageFault(err)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "remove every image")
	return cmd
}
