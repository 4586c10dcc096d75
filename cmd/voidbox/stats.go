package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/shim"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// usage is what a sandbox takes at a moment, in JSON.
type usage struct {
	Name                 string        `json:"name"`
	Time                 time.Time     `json:"time"`
	CPUTime              time.Duration `json:"cpu_time_ns"`
	MemoryTotalBytes     uint64        `json:"memory_total_bytes"`
	MemoryAvailableBytes uint64        `json:"memory_available_bytes"`
	Processes            int           `json:"processes"`
	Load1m               float64       `json:"load_1m"`
	DiskTotalBytes       uint64        `json:"disk_total_bytes"`
	DiskFreeBytes        uint64        `json:"disk_free_bytes"`
	NetReceivedBytes     uint64        `json:"net_received_bytes"`
	NetSentBytes         uint64        `json:"net_sent_bytes"`
}

func (c *cli) statsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stats [NAME...]",
		Short: "Print what sandboxes take: processor, memory, disk, network",
		Long:  "stats prints counters since the start of each sandbox, and gauges of the moment; without a name those of all that run.",
		RunE: func(cmd *cobra.Command, args []string) error {
			boxes, err := c.running(args)
			if err != nil {
				return err
			}
			list := []usage{}
			for _, b := range boxes {
				u, err := measure(cmd.Context(), b)
				if err != nil {
					return sandboxFault(err)
				}
				list = append(list, u)
			}
			if asJSON {
				return c.printJSON(list)
			}
			return c.printUsage(list)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// running returns the sandboxes of these names, or all that run.
func (c *cli) running(names []string) ([]*shim.Sandbox, error) {
	store, err := c.store()
	if err != nil {
		return nil, err
	}
	var boxes []*shim.Sandbox
	for _, name := range names {
		b, err := store.Get(name)
		if err != nil {
			return nil, sandboxFault(err)
		}
		boxes = append(boxes, b)
	}
	if len(names) > 0 {
		return boxes, nil
	}
	all, err := store.List()
	if err != nil {
		return nil, asMachineFault(err)
	}
	for _, b := range all {
		if b.Instance.State == shim.Running {
			boxes = append(boxes, b)
		}
	}
	return boxes, nil
}

func measure(ctx context.Context, b *shim.Sandbox) (usage, error) {
	client, err := b.Connect()
	if err != nil {
		return usage{}, err
	}
	defer client.Close()
	var m sandbox.Metrics
	if m, err = client.Metrics(ctx); err != nil {
		return usage{}, fmt.Errorf("sandbox %s: %w", b.Name, err)
	}
	return usage{
		Name: b.Name, Time: time.Now().UTC(), CPUTime: m.CPUTime, MemoryTotalBytes: m.MemoryTotalBytes, MemoryAvailableBytes: m.MemoryAvailableBytes,
		Processes: m.Processes, Load1m: m.Load1m, DiskTotalBytes: m.DiskTotalBytes, DiskFreeBytes: m.DiskFreeBytes,
		NetReceivedBytes: m.NetReceivedBytes, NetSentBytes: m.NetSentBytes,
	}, nil
}

func (c *cli) printUsage(list []usage) error {
	if len(list) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tCPU TIME\tLOAD\tMEMORY\tPROCESSES\tDISK\tRECEIVED\tSENT")
	for _, u := range list {
		fmt.Fprintf(table, "%s\t%s\t%.2f\t%s of %s\t%d\t%s of %s\t%s\t%s\n", u.Name, u.CPUTime.Truncate(10*time.Millisecond), u.Load1m,
			bytesWords(u.MemoryTotalBytes-min(u.MemoryAvailableBytes, u.MemoryTotalBytes)), bytesWords(u.MemoryTotalBytes), u.Processes,
			bytesWords(u.DiskTotalBytes-min(u.DiskFreeBytes, u.DiskTotalBytes)), bytesWords(u.DiskTotalBytes),
			bytesWords(u.NetReceivedBytes), bytesWords(u.NetSentBytes))
	}
	return table.Flush()
}

// bytesWords writes a size for people, in powers of 1024.
func bytesWords(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
