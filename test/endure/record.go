package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/internal/livevm"
)

// record is a soak, in pieces.
type record struct {
	Pieces []piece `json:"pieces"`
}

// piece is one process's life.
type piece struct {
	Seconds float64          `json:"seconds"`
	Done    map[string]int64 `json:"done"`
	Before  *measurement     `json:"before,omitempty"` // of all work, and after it, at rest
	After   *measurement     `json:"after,omitempty"`
	Samples []measurement    `json:"samples"`
}

// measurement is the process at one moment.
type measurement struct {
	livevm.Footprint
	Goroutines int
	Nodes      int     `json:",omitempty"` // of a share's table
	LiveHeap   float64 `json:",omitempty"` // KiB that the last collection left, of a network
}

func (r *record) save(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// slack is what may come and go.
type slack struct {
	memory float64 // KiB
	files  float64
	count  float64 // threads and goroutines
	nodes  float64
	heap   float64 // KiB
	rest   float64 // descriptors that a network at rest holds besides those that it began with
}

var (
	// Of a monitor: descriptors and goroutines of connections that happen to be open, memory that waits for a collection.
	monitorSlack = slack{memory: 1024, files: 8, count: 8}
	// Of a network that is busy: its memory is a heap that grows until it is collected, every few minutes; what tells a leak is what a
	// collection leaves, which are buffers of the connections of that moment. Each datagram's flow lives for two minutes, so that its
	// descriptors follow the speed of the machine; what they tell of a leak they tell at rest.
	networkSlack = slack{memory: 16 << 10, heap: 4 << 10, files: 512, count: 8, rest: 4}
	// Of a share plugin: what the guest's kernel knows at that moment, thousands of files whose trees come and go.
	shareSlack = slack{memory: 8 << 10, files: 256, count: 8, nodes: 4096}
)

// judge compares the last third of each piece with its second third, when whatever grows at the start has grown.
func (r *record) judge(may slack) error {
	var failed error
	total := 0.0
	for i, p := range r.Pieces {
		total += p.Seconds
		if len(p.Samples) < 6 {
			return fmt.Errorf("piece %d has only %d samples", i+1, len(p.Samples))
		}
		third := len(p.Samples) / 3
		middle, last := p.Samples[third:2*third], p.Samples[2*third:]
		fmt.Printf("piece %d: %.0f s, %v\n", i+1, p.Seconds, p.Done)
		for _, q := range []struct {
			name  string
			of    func(measurement) float64
			slack float64
		}{
			{"memory, KiB", func(m measurement) float64 { return m.Anonymous }, may.memory},
			{"live heap", func(m measurement) float64 { return m.LiveHeap }, may.heap},
			{"descriptors", func(m measurement) float64 { return float64(m.Files) }, may.files},
			{"threads", func(m measurement) float64 { return float64(m.Threads) }, may.count},
			{"goroutines", func(m measurement) float64 { return float64(m.Goroutines) }, may.count},
			{"nodes", func(m measurement) float64 { return float64(m.Nodes) }, may.nodes},
		} {
			before, after := median(middle, q.of), median(last, q.of)
			fmt.Printf("  %-12s %8.0f, then %8.0f\n", q.name, before, after)
			if after > before+q.slack {
				failed = errors.Join(failed, fmt.Errorf("piece %d: %s grew from %.0f to %.0f", i+1, q.name, before, after))
			}
			if p.Before == nil {
				continue
			}
			start, end := q.of(*p.Before), q.of(*p.After)
			fmt.Printf("  %-12s %8.0f, then %8.0f at rest, before and after\n", "", start, end)
		}
		if p.Before != nil && float64(p.After.Files) > float64(p.Before.Files)+may.rest {
			failed = errors.Join(failed, fmt.Errorf("piece %d: %d descriptors at rest, of %d at the beginning", i+1, p.After.Files, p.Before.Files))
		}
	}
	fmt.Printf("%.0f s in all, no byte differed\n", total)
	return failed
}

func median(samples []measurement, of func(measurement) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return benchtable.Median(values)
}
