package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/shim"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// summary is a named sandbox in JSON.
type summary struct {
	Name        string        `json:"name"`
	State       shim.State    `json:"state"`
	Backend     string        `json:"backend,omitempty"`
	Accelerator string        `json:"accelerator,omitempty"`
	Image       string        `json:"image,omitempty"`
	CPUs        int           `json:"cpus,omitempty"`
	MemoryBytes uint64        `json:"memory_bytes,omitempty"`
	Created     time.Time     `json:"created,omitzero"`
	Started     time.Time     `json:"started,omitzero"`
	Ended       time.Time     `json:"ended,omitzero"`
	Main        *sandbox.Exit `json:"main,omitempty"`
	Error       string        `json:"error,omitempty"`
}

// broken is the state of a sandbox whose documents cannot be read.
const broken shim.State = "broken"

func summarise(b *shim.Sandbox) summary {
	if b.Broken != nil {
		return summary{Name: b.Name, State: broken, Error: b.Broken.Error()}
	}
	i := b.Instance
	return summary{
		Name: b.Name, State: i.State, Backend: i.Backend, Accelerator: i.Accelerator, Image: i.Image, CPUs: i.CPUs, MemoryBytes: i.MemoryBytes,
		Created: b.Created, Started: i.Started, Ended: i.Ended, Main: i.Main, Error: i.Error,
	}
}

func (c *cli) sandboxListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the named sandboxes",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			store, err := c.store()
			if err != nil {
				return err
			}
			all, err := store.List()
			if err != nil {
				return asMachineFault(err)
			}
			list := make([]summary, len(all))
			for i, b := range all {
				list[i] = summarise(b)
			}
			if asJSON {
				return c.printJSON(list)
			}
			return c.printSandboxes(list)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *cli) printJSON(v any) error {
	encoder := json.NewEncoder(c.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

func (c *cli) printSandboxes(list []summary) error {
	if len(list) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tSTATE\tBACKEND\tIMAGE\tUP\tMAIN")
	for _, s := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, s.State, cmp.Or(s.Backend, "-"), event.Clean(cmp.Or(s.Image, "-")), uptime(s), mainWords(s))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, s := range list {
		if s.Error != "" {
			fmt.Fprintf(c.stderr, "%s: %s\n", s.Name, event.Clean(s.Error))
		}
	}
	return nil
}

func uptime(s summary) string {
	if s.State != shim.Running {
		return "-"
	}
	return time.Since(s.Started).Truncate(time.Second).String()
}

func mainWords(s summary) string {
	switch {
	case s.Main == nil:
		return "-"
	case s.Main.Signal != "":
		return "ended by SIG" + s.Main.Signal
	}
	return fmt.Sprintf("ended with %d", s.Main.Code)
}
