package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/voidbox-run/voidbox/core/control"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/observe"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// askTime is what only a run that hangs reaches.
const askTime = 30 * time.Second

// withRun speaks to the run that an ID or the path of a run directory names.
func withRun(ctx context.Context, ref string, speak func(context.Context, *control.Client) error) error {
	dir := ref
	if !strings.ContainsRune(ref, filepath.Separator) {
		base, err := observe.DefaultDir()
		if err != nil {
			return failWith(exitMachine, err)
		}
		dir = filepath.Join(base, ref)
	}
	client, err := control.Open(dir)
	if err != nil {
		return failWith(exitUsage, err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	err = speak(ctx, client)
	if errors.Is(err, errdef.ErrInvalid) || errors.Is(err, errdef.ErrState) || errors.Is(err, errdef.ErrNotFound) {
		return failWith(exitUsage, err)
	}
	return failWith(exitFailed, err)
}

func (c *cli) psCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List the runs that live",
		Long: "ps lists the runs of this user that live, with the networks of their guests and the ports that they publish. Runs whose\n" +
			"--run-dir is elsewhere are not among them.",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			base, err := observe.DefaultDir()
			if err != nil {
				return failWith(exitMachine, err)
			}
			runs, err := living(cmd.Context(), base)
			if err != nil {
				return failWith(exitMachine, err)
			}
			if asJSON {
				encoder := json.NewEncoder(c.stdout)
				encoder.SetIndent("", "  ")
				return encoder.Encode(runs)
			}
			return c.writeRuns(runs)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// living asks every run of a directory that left a link to its socket.
func living(ctx context.Context, base string) ([]control.Info, error) {
	dirs, err := os.ReadDir(base)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	runs := []control.Info{}
	for _, d := range dirs {
		client, err := control.Open(filepath.Join(base, d.Name()))
		if err != nil {
			continue
		}
		info, err := client.Info(ctx)
		client.Close()
		if err == nil {
			runs = append(runs, info)
		}
	}
	slices.SortFunc(runs, func(a, b control.Info) int { return a.Started.Compare(b.Started) })
	return runs, nil
}

func (c *cli) writeRuns(runs []control.Info) error {
	if len(runs) == 0 {
		fmt.Fprintln(c.stderr, "no run lives")
		return nil
	}
	table := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RUN\tTARGET\tAGE\tNETWORKS")
	for _, r := range runs {
		var nets []string
		for _, n := range r.Networks {
			text := n.Stage
			if len(n.Published) > 0 {
				text += " (" + strings.Join(n.Published, ", ") + ")"
			}
			nets = append(nets, text)
		}
		age := time.Since(r.Started).Truncate(time.Second)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", event.Clean(r.Run), event.Clean(r.Target), age, event.Clean(strings.Join(nets, ", ")))
	}
	return table.Flush()
}

func (c *cli) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel RUN",
		Short: "Cancel a run, as Ctrl-C would",
		Long:  "cancel ends a run, which cleans up and exits with 130. RUN is what ps lists, or a run directory.",
		Args:  oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withRun(cmd.Context(), args[0], func(ctx context.Context, run *control.Client) error { return run.Cancel(ctx) })
		},
	}
}

// oneRun wants a run.
func oneRun(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return failUsage(fmt.Errorf("%s needs a run", cmd.Name()), "`voidbox ps` lists them")
	}
	return nil
}
