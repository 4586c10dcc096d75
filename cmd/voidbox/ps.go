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
)

func (c *cli) psCommand() *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List the runs that live",
		Long: "ps lists the runs of this user that live, with the networks of their guests and the ports that they publish. Runs whose\n" +
			"--run-dir is elsewhere are not among them.\n\n" +
			"With --all, it lists those that are over too, how they ended, and how many of their stages succeeded: `voidbox resume RUN` goes\n" +
			"on with one that did not get to its end.",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			base, err := observe.DefaultDir()
			if err != nil {
				return failWith(exitMachine, err)
			}
			if all {
				return c.listRuns(base, asJSON)
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
	cmd.Flags().BoolVarP(&all, "all", "a", false, "list runs that are over, too")
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

// pastRun is a run as ps --all --json shows it.
type pastRun struct {
	Run       string       `json:"run"`
	Plan      string       `json:"plan"`
	Target    string       `json:"target"`
	State     string       `json:"state"` // running, succeeded, failed, cancelled or killed
	Stages    int          `json:"stages"`
	Done      int          `json:"stages_done"`
	Resumable bool         `json:"resumable"`
	Resumes   string       `json:"resumes,omitempty"`
	Error     string       `json:"error,omitempty"`
	Started   time.Time    `json:"started"`
	Totals    event.Totals `json:"totals"`
	Dir       string       `json:"dir"`
}

// listRuns lists all runs of a directory.
func (c *cli) listRuns(base string, asJSON bool) error {
	past, err := observe.List(base)
	if err != nil {
		return failWith(exitMachine, err)
	}
	runs := []pastRun{}
	for _, p := range past {
		r := pastRun{
			Run: p.Run, Plan: p.Plan, Target: p.Target, State: string(p.Status), Stages: len(p.Stages), Done: p.Done, Resumable: p.Resumable(),
			Resumes: p.Resumes, Error: p.Error, Started: p.Started, Totals: p.Totals, Dir: p.Path,
		}
		if p.Alive {
			r.State = "running"
		}
		runs = append(runs, r)
	}
	if asJSON {
		encoder := json.NewEncoder(c.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(runs)
	}
	if len(runs) == 0 {
		fmt.Fprintln(c.stderr, "there are no runs")
		return nil
	}
	table := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RUN\tPLAN\tTARGET\tSTARTED\tSTATE\tSTAGES DONE\t")
	for _, r := range runs {
		stages, hint := "", ""
		if r.Stages > 0 {
			stages = fmt.Sprintf("%d of %d", r.Done, r.Stages)
		}
		if r.Resumable {
			hint = "can be resumed"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", event.Clean(filepath.Base(r.Dir)), event.Clean(r.Plan), event.Clean(r.Target),
			r.Started.Local().Format(time.DateTime), event.Clean(r.State), stages, hint)
	}
	return table.Flush()
}
