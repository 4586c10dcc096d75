package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// environmentInfo is what a sandbox says of itself, in JSON.
type environmentInfo struct {
	Name         string        `json:"name"`
	Backend      string        `json:"backend"`
	Accelerator  string        `json:"accelerator,omitempty"`
	Image        string        `json:"image,omitempty"`
	ImageID      string        `json:"image_id,omitempty"`
	Hostname     string        `json:"hostname"`
	Kernel       string        `json:"kernel"`
	Architecture string        `json:"architecture"`
	CPUs         int           `json:"cpus"`
	MemoryBytes  uint64        `json:"memory_bytes"`
	MemoryMB     uint64        `json:"memory_mb"`
	Uptime       time.Duration `json:"uptime_ns"`
	AgentVersion string        `json:"agent_version,omitempty"`
	User         string        `json:"user"`
	Home         string        `json:"home"`
	WorkingDir   string        `json:"working_dir"`
	Mounts       []mountInfo   `json:"mounts,omitempty"`
	Main         *mainInfo     `json:"main,omitempty"`
	Capabilities []string      `json:"capabilities,omitempty"`
}

type mountInfo struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	Type     string `json:"type"`
	ReadOnly bool   `json:"read_only"`
}

type mainInfo struct {
	Running bool          `json:"running"`
	PID     int           `json:"pid"`
	Exit    *sandbox.Exit `json:"exit,omitempty"`
}

func (c *cli) infoCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "info NAME",
		Short: "Print what a sandbox is, seen from inside",
		Args:  oneSandbox,
		RunE: func(cmd *cobra.Command, args []string) error {
			info, err := c.environmentInfo(cmd, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return c.printJSON(info)
			}
			return c.printInfo(info)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *cli) environmentInfo(cmd *cobra.Command, name string) (environmentInfo, error) {
	b, err := c.named(name)
	if err != nil {
		return environmentInfo{}, err
	}
	client, err := b.Connect()
	if err != nil {
		return environmentInfo{}, sandboxFault(err)
	}
	defer client.Close()
	i, err := client.Info(cmd.Context())
	if err != nil {
		return environmentInfo{}, sandboxFault(err)
	}
	info := environmentInfo{
		Name: name, Backend: b.Instance.Backend, Accelerator: b.Instance.Accelerator, Image: b.Instance.Image, ImageID: b.Instance.ImageID,
		Hostname: i.Hostname, Kernel: i.Kernel, Architecture: i.Architecture, CPUs: i.CPUs, MemoryBytes: i.MemoryBytes, MemoryMB: i.MemoryBytes >> 20,
		Uptime: i.Uptime, AgentVersion: i.AgentVersion, User: i.User, Home: i.Home, WorkingDir: i.WorkingDir, Capabilities: i.Capabilities,
	}
	for _, m := range i.Mounts {
		info.Mounts = append(info.Mounts, mountInfo(m))
	}
	if i.Main.Defined {
		info.Main = &mainInfo{Running: i.Main.Running, PID: i.Main.PID, Exit: i.Main.Exit}
	}
	return info, nil
}

func (c *cli) printInfo(i environmentInfo) error {
	table := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, event.Clean(fmt.Sprintf(format, args...)))
	}
	row("kernel", "%s (%s)", i.Kernel, i.Architecture)
	row("hostname", "%s", i.Hostname)
	row("backend", "%s %s", i.Backend, i.Accelerator)
	row("image", "%s", strings.TrimSpace(i.Image+"  "+i.ImageID))
	row("cpus", "%d", i.CPUs)
	row("memory", "%d MB (%d bytes)", i.MemoryMB, i.MemoryBytes)
	row("uptime", "%s", i.Uptime.Truncate(time.Second))
	row("user", "%s, home %s, commands start in %s", i.User, i.Home, i.WorkingDir)
	switch {
	case i.Main == nil:
	case i.Main.Running:
		row("main", "process %d", i.Main.PID)
	default:
		row("main", "%s", mainWords(summary{Main: i.Main.Exit}))
	}
	for _, m := range i.Mounts {
		mode := "rw"
		if m.ReadOnly {
			mode = "ro"
		}
		row("mount", "%s  %s %s (%s)", m.Target, m.Type, mode, m.Source)
	}
	return table.Flush()
}
