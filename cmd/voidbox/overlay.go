package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/observe"
	"github.com/voidbox-run/voidbox/core/overlay"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// overlays returns the directory of what a named sandbox or a run has written to mounts of mode overlay. A name is looked for
// among the sandboxes first; a run may also be named by its directory.
func (c *cli) overlays(ref string) (string, error) {
	if strings.ContainsRune(ref, filepath.Separator) {
		return existing(ref, filepath.Join(ref, overlay.DirName))
	}
	store, err := c.store()
	if err != nil {
		return "", err
	}
	box, err := store.Get(ref)
	if err == nil {
		return existing(ref, box.Overlays())
	}
	if !errors.Is(err, errdef.ErrNotFound) && !errors.Is(err, errdef.ErrInvalid) {
		return "", sandboxFault(err)
	}
	base, dirErr := observe.DefaultDir()
	if dirErr != nil {
		return "", failWith(exitMachine, dirErr)
	}
	run := filepath.Join(base, filepath.Base(ref))
	if _, statErr := os.Stat(run); statErr != nil {
		return "", failWith(exitUsage, errdef.New(errdef.ErrNotFound, "there is neither a sandbox nor a run %q", ref).
			WithRemedy("voidbox sandbox list names the sandboxes; a run is named by its ID or its directory"))
	}
	return existing(ref, filepath.Join(run, overlay.DirName))
}

// existing demands that something was kept.
func existing(ref, dir string) (string, error) {
	if _, err := os.Stat(dir); err != nil {
		return "", failWith(exitUsage, errdef.New(errdef.ErrNotFound, "%s has no mount of mode overlay", ref).
			WithRemedy("mount \"/workspace\" { source = \".\"  mode = \"overlay\" } makes one"))
	}
	return dir, nil
}

// mountChanges are the changes of one mount.
type mountChanges struct {
	overlay.Mount
	Changes []overlay.Change `json:"changes"`
}

// changes compares all mounts of a sandbox or run, with those changes that a path names; none means all.
func (c *cli) changes(ref string, paths []string) ([]mountChanges, error) {
	dir, err := c.overlays(ref)
	if err != nil {
		return nil, err
	}
	mounts, err := overlay.Load(dir)
	if err != nil {
		return nil, failWith(exitFailed, err)
	}
	used := make([]bool, len(paths))
	var all []mountChanges
	for _, m := range mounts {
		found, err := m.Changes()
		if err != nil {
			return nil, failWith(exitFailed, err)
		}
		one := mountChanges{Mount: m, Changes: []overlay.Change{}}
		for _, change := range found {
			if named(m, change, paths, used) {
				one.Changes = append(one.Changes, change)
			}
		}
		all = append(all, one)
	}
	for i, p := range paths {
		if !used[i] {
			return nil, failUsage(fmt.Errorf("nothing was changed at %q", p), "voidbox diff %s lists the changes", ref)
		}
	}
	return all, nil
}

// named tells whether one of the paths, in the guest or below the mount, is that of a change or of a directory above it.
func named(m overlay.Mount, change overlay.Change, paths []string, used []bool) bool {
	if len(paths) == 0 {
		return true
	}
	any := false
	for i, p := range paths {
		p = path.Clean(p)
		if path.IsAbs(p) {
			if !overlay.Below(p, m.Target) {
				continue
			}
			p = path.Clean(strings.TrimPrefix(strings.TrimPrefix(p, m.Target), "/"))
		}
		if overlay.Below(change.Path, p) {
			used[i], any = true, true
		}
	}
	return any
}

// letters are how diff shows kinds of change, as git does.
var letters = map[overlay.Kind]string{overlay.Added: "A", overlay.Modified: "M", overlay.Removed: "D"}

func (c *cli) diffCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff {SANDBOX|RUN} [PATH...]",
		Short: "Show what was written to mounts of mode overlay",
		Long: "diff compares what a sandbox, or the sandboxes of a run, have written to mounts of mode overlay with the host's files as they\n" +
			"are now, file by file: A is added, M modified, D removed. What git, CI, an editor or another tool would run or obey on the host\n" +
			"without being asked is flagged. A path is one in the guest, or below the mount, and stands for all that is in it.",
		Example: "  voidbox diff box\n  voidbox diff 20260102-030405-1a2b3c4d /workspace/src",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := c.changes(args[0], args[1:])
			if err != nil {
				return err
			}
			if asJSON {
				return c.printJSON(all)
			}
			c.printChanges(all)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *cli) printChanges(all []mountChanges) {
	for _, m := range all {
		fmt.Fprintf(c.stdout, "%s of %s, over %s: %d changes\n", printable(m.Target), m.Sandbox, m.Source, len(m.Changes))
		for _, change := range m.Changes {
			fmt.Fprintf(c.stdout, "  %s %s\n", letters[change.Kind], describe(change))
		}
	}
}

// describe is a change in one line.
func describe(change overlay.Change) string {
	line := printable(change.Path)
	switch {
	case change.Mode.IsDir():
		line += "/"
	case change.Link != "":
		line += " -> " + printable(change.Link)
	}
	if len(change.Flags) > 0 {
		line += "   ! " + strings.Join(change.Flags, "; ")
	}
	return line
}

// printable quotes what a terminal must not see: names are the guest's.
func printable(name string) string {
	if quoted := fmt.Sprintf("%q", name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

func (c *cli) applyCommand() *cobra.Command {
	var flagged bool
	cmd := &cobra.Command{
		Use:   "apply {SANDBOX|RUN} [PATH...]",
		Short: "Make changes of mounts of mode overlay real",
		Long: "apply writes to the host's files what a sandbox, or the sandboxes of a run, have written to mounts of mode overlay: all of it, or\n" +
			"what is at or below the paths. Each file is replaced in one step. What diff flags is applied only with --flagged.",
		Example: "  voidbox apply box src README.md\n  voidbox apply --flagged box .github/workflows/ci.yml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := c.changes(args[0], args[1:])
			if err != nil {
				return err
			}
			return c.apply(all, flagged)
		},
	}
	cmd.Flags().BoolVar(&flagged, "flagged", false, "apply also what diff flags")
	return cmd
}

func (c *cli) apply(all []mountChanges, flagged bool) error {
	var held []overlay.Change
	for _, m := range all {
		var take []overlay.Change
		for _, change := range m.Changes {
			if len(change.Flags) > 0 && !flagged {
				held = append(held, change)
				continue
			}
			take = append(take, change)
		}
		if err := m.Apply(take); err != nil {
			return failWith(exitFailed, err)
		}
		for _, change := range take {
			fmt.Fprintf(c.stdout, "%s %s\n", letters[change.Kind], printable(filepath.Join(m.Source, change.Path)))
		}
	}
	if len(held) == 0 {
		return nil
	}
	for _, change := range held {
		fmt.Fprintf(c.stderr, "not applied: %s %s\n", letters[change.Kind], describe(change))
	}
	return failWith(exitFailed, errdef.New(errdef.ErrPermission, "%d flagged changes were not applied", len(held)).
		WithRemedy("look at them, then name them with --flagged"))
}

func (c *cli) discardCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "discard {SANDBOX|RUN}",
		Short: "Throw away what was written to mounts of mode overlay",
		Long: "discard removes what a sandbox, or the sandboxes of a run, have written to mounts of mode overlay. The host's files stay as they\n" +
			"are. A sandbox that runs has to be stopped first.",
		Example: "  voidbox discard box",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := c.overlays(args[0])
			if err != nil {
				return err
			}
			return failWith(exitFailed, overlay.Discard(dir))
		},
	}
}
