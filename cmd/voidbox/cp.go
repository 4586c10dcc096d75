package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/shim"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/tree"
)

func (c *cli) cpCommand() *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use:   "cp SOURCE DESTINATION",
		Short: "Copy files and directories into, out of and between named sandboxes",
		Long: "cp copies a file, or a directory with all that is below it; NAME:PATH is a path in a sandbox. Modes, times, symbolic and hard links\n" +
			"are kept; sockets, devices and FIFOs left out. Into a sandbox, all belongs to its ordinary user, or to --user; out of it, to you, and\n" +
			"without setuid bits.\n\n" +
			"A destination that is a directory is copied into, and a source that ends with /. is copied by its contents. A file appears under\n" +
			"its name when it is whole: an interruption leaves no half of one.",
		Example: "  voidbox cp src dev:/workspace\n" +
			"  voidbox cp dev:/workspace/report.html .\n" +
			"  voidbox cp one:/data/. two:/data",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 || !splitPlace(args[0]).inside() && !splitPlace(args[1]).inside() {
				return failUsage(errors.New("cp needs a source and a destination, at least one of them in a sandbox"), "for example: voidbox cp report.txt dev:/tmp")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			soft, _, stop := c.interrupts(cmd.Context())
			defer stop()
			return c.copy(soft, splitPlace(args[0]), splitPlace(args[1]), user)
		},
	}
	cmd.Flags().StringVarP(&user, "user", "u", "", "`user` inside that it belongs to: a name or uid[:gid]")
	return cmd
}

func (c *cli) copy(ctx context.Context, from, to place, user string) error {
	source, err := c.end(from)
	if err != nil {
		return err
	}
	defer source.close()
	destination, err := c.end(to)
	if err != nil {
		return err
	}
	defer destination.close()
	target, err := targetOf(ctx, source, destination)
	if err != nil {
		return sandboxFault(err)
	}
	stats, err := pump(ctx, source, destination, target, user)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		return sandboxFault(err)
	}
	if stats.Skipped > 0 {
		fmt.Fprintf(c.stderr, "voidbox: left out, as they are neither files, directories nor links: %d\n", stats.Skipped)
	}
	return nil
}

// end is one side of a copy.
type end struct {
	place
	box *shim.Client // nil for this machine
}

func (c *cli) end(p place) (end, error) {
	if !p.inside() {
		return end{place: p}, nil
	}
	box, err := c.connect(p.name)
	return end{p, box}, err
}

func (e end) close() {
	if e.box != nil {
		e.box.Close()
	}
}

// isDir tells whether there is a directory at the path. What is not there is none.
func (e end) isDir(ctx context.Context) (bool, error) {
	if e.box == nil {
		info, err := os.Stat(e.path)
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		return err == nil && info.IsDir(), err
	}
	info, err := e.box.Stat(ctx, e.path, true)
	if errors.Is(err, errdef.ErrNotFound) {
		return false, nil
	}
	return err == nil && info.Mode.IsDir(), err
}

// targetOf says what the copy is to be called: as cp(1) has it, what is copied into a directory keeps its name.
func targetOf(ctx context.Context, from, to end) (string, error) {
	into, err := to.isDir(ctx)
	switch {
	case err != nil:
		return "", err
	case !into && strings.HasSuffix(to.path, "/"):
		return "", errdef.New(errdef.ErrNotFound, "there is no directory %s", to.path)
	case !into:
		return to.path, nil
	}
	name := path.Base(filepath.ToSlash(from.path))
	if contents := name == "." || name == "/" || strings.HasSuffix(from.path, "/."); contents {
		if to.box == nil {
			return filepath.Abs(to.path) // by a name of its own
		}
		return path.Clean(to.path), nil
	}
	if to.box == nil {
		return filepath.Join(to.path, name), nil
	}
	return path.Join(to.path, name), nil
}

// pump lets an archive flow from one end to the other.
func pump(ctx context.Context, from, to end, target, user string) (sandbox.TreeStats, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	packed := make(chan result, 1)
	go func() {
		stats, err := from.pack(ctx, w)
		w.CloseWithError(err)
		packed <- result{stats, err}
	}()
	_, err := to.unpack(ctx, target, user, r)
	r.CloseWithError(io.ErrClosedPipe) // the other side may still be writing
	source := <-packed
	if source.err != nil && !errors.Is(source.err, io.ErrClosedPipe) {
		err = source.err // what comes of it at the other end says less
	}
	return source.stats, err
}

type result struct {
	stats sandbox.TreeStats
	err   error
}

func (e end) pack(ctx context.Context, w io.Writer) (sandbox.TreeStats, error) {
	if e.box != nil {
		return e.box.ReadTree(ctx, path.Clean(e.path), w)
	}
	stats, err := tree.Pack(ctx, e.path, w)
	return sandbox.TreeStats(stats), err
}

func (e end) unpack(ctx context.Context, target, user string, r io.Reader) (sandbox.TreeStats, error) {
	if e.box != nil {
		return e.box.WriteTree(ctx, target, sandbox.TreeOptions{User: user}, r)
	}
	stats, err := tree.Unpack(ctx, target, tree.Options{}, r)
	return sandbox.TreeStats(stats), err
}
