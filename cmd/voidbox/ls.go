package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// dirEntry is a directory entry in JSON.
type dirEntry struct {
	Name       string    `json:"name"`
	Type       string    `json:"type"`
	Size       uint64    `json:"size"`
	Mode       string    `json:"mode"` // permission bits, octal
	UID        uint32    `json:"uid"`
	GID        uint32    `json:"gid"`
	Modified   time.Time `json:"modified,omitzero"`
	LinkTarget string    `json:"link_target,omitempty"`
}

func (c *cli) lsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "ls NAME:PATH",
		Short:   "List a directory of a sandbox: type, size, mode, owner",
		Example: "  voidbox ls dev:/tmp",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || !splitPlace(args[0]).inside() {
				return failUsage(errors.New("ls needs a sandbox and a path in it"), "for example: voidbox ls dev:/tmp")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			at := splitPlace(args[0])
			client, err := c.connect(at.name)
			if err != nil {
				return err
			}
			defer client.Close()
			info, err := client.Stat(cmd.Context(), at.path, true)
			if err != nil {
				return sandboxFault(err)
			}
			found := []sandbox.FileInfo{info}
			if info.Mode.IsDir() {
				if found, err = client.ListDir(cmd.Context(), at.path); err != nil {
					return sandboxFault(err)
				}
			}
			entries := make([]dirEntry, len(found))
			for i, f := range found {
				entries[i] = describeEntry(f)
			}
			if asJSON {
				return c.printJSON(entries)
			}
			return c.printEntries(entries)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func describeEntry(f sandbox.FileInfo) dirEntry {
	return dirEntry{
		Name: f.Name, Type: typeWord(f.Mode), Size: f.Size, Mode: fmt.Sprintf("%04o", sandbox.ModeToUnix(f.Mode)), UID: f.UID, GID: f.GID,
		Modified: f.ModTime, LinkTarget: f.LinkTarget,
	}
}

func typeWord(m fs.FileMode) string {
	switch m.Type() {
	case 0:
		return "file"
	case fs.ModeDir:
		return "directory"
	case fs.ModeSymlink:
		return "symlink"
	case fs.ModeNamedPipe:
		return "fifo"
	case fs.ModeSocket:
		return "socket"
	case fs.ModeDevice:
		return "block device"
	case fs.ModeDevice | fs.ModeCharDevice:
		return "character device"
	}
	return "other"
}

func (c *cli) printEntries(entries []dirEntry) error {
	table := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	for _, e := range entries {
		name := e.Name
		if e.LinkTarget != "" {
			name += " -> " + e.LinkTarget
		}
		// A name must neither move the cursor nor break the table.
		name = strings.NewReplacer("\n", "?", "\t", "?").Replace(event.Clean(name))
		fmt.Fprintf(table, "%s\t%s\t%d:%d\t%d\t%s\t%s\n", e.Type, e.Mode, e.UID, e.GID, e.Size, e.Modified.Local().Format("2006-01-02 15:04"), name)
	}
	return table.Flush()
}
