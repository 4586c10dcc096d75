// Package benchtable writes down comparisons: ours against a peer that did the same work in the same run, so that the speed of
// the machine cancels out. Every benchmark of the house reports through it, as a table for people and as JSON for CI.
package benchtable

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// Row is one comparison. Ours and Peer are medians over Runs, in Unit; Ratio is Ours over Peer.
//
// Goal and Floor speak of the ratio: what should be small (a duration, a size) says "<= 1.2", a rate, of which more is better,
// ">= 0.8"; see AtMost and AtLeast. Empty means that nothing is demanded.
type Row struct {
	Name     string  `json:"name"`
	Unit     string  `json:"unit"`
	Ours     float64 `json:"ours"`
	Peer     float64 `json:"peer"`
	PeerName string  `json:"peer_name"`
	Ratio    float64 `json:"ratio"`
	Goal     string  `json:"goal"`
	Floor    string  `json:"floor"`
	Runs     int     `json:"runs"`
}

// Compare makes the row of two series of measurements: their medians and the ratio of these. The goals are the caller's to set.
func Compare(name, unit, peerName string, ours, peer []float64) Row {
	row := Row{Name: name, Unit: unit, PeerName: peerName, Ours: Median(ours), Peer: Median(peer), Runs: min(len(ours), len(peer))}
	if row.Peer != 0 {
		row.Ratio = row.Ours / row.Peer
	}
	return row
}

// Median returns the middle of values, 0 of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// Write prints rows to standard output and merges them into the JSON file at path: a row replaces one of the same name, and
// those of other benchmarks stay.
func Write(path string, rows []Row) error {
	fmt.Print(Table(rows))
	all, err := read(path)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if n := slices.IndexFunc(all, func(r Row) bool { return r.Name == row.Name }); n >= 0 {
			all[n] = row
		} else {
			all = append(all, row)
		}
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encode benchmark table: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write benchmark table: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write benchmark table: %w", err)
	}
	return nil
}

func read(path string) ([]Row, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read benchmark table: %w", err)
	}
	var rows []Row
	if err := json.Unmarshal(text, &rows); err != nil {
		return nil, fmt.Errorf("benchmark table %s: %w", path, err)
	}
	return rows, nil
}

// Table returns rows as text.
func Table(rows []Row) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "name\tunit\tours\tpeer\t(which)\tratio\tgoal\tfloor\truns\tmet")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%.4g\t%.4g\t%s\t%.3f\t%s\t%s\t%d\t%s\n",
			r.Name, r.Unit, r.Ours, r.Peer, r.PeerName, r.Ratio, r.Goal, r.Floor, r.Runs, r.verdict())
	}
	w.Flush()
	return b.String()
}

// AtMost is a Goal or Floor for what should be small.
func AtMost(ratio float64) string { return fmt.Sprintf("<= %.3g", ratio) }

// AtLeast is a Goal or Floor for what should be large.
func AtLeast(ratio float64) string { return fmt.Sprintf(">= %.3g", ratio) }

// Met tells whether the row's ratio satisfies a demand of the form that AtMost and AtLeast make. An empty one always is.
func (r Row) Met(demand string) bool {
	var limit float64
	if n, _ := fmt.Sscanf(demand, "<= %g", &limit); n == 1 {
		return r.Ratio <= limit
	}
	if n, _ := fmt.Sscanf(demand, ">= %g", &limit); n == 1 {
		return r.Ratio >= limit
	}
	return demand == ""
}

func (r Row) verdict() string {
	switch {
	case r.Goal == "":
		return ""
	case r.Met(r.Goal):
		return "goal"
	case r.Floor != "" && r.Met(r.Floor):
		return "floor"
	}
	return "missed"
}
