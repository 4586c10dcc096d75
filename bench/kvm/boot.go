package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/benchtable"
)

// measureBoot compares the time from nothing to a sandbox whose agent has answered.
func measureBoot(ctx context.Context, b *bench) ([]benchtable.Row, error) {
	exits := map[bool]map[string]uint64{}
	err := b.turns(ctx, sandbox.Spec{}, nil, func(mine bool, box *box, into *record) error {
		exits[mine] = kvmCounters()
		ms := box.took.Seconds() * 1e3
		fmt.Printf("%-5v %7.0f ms\n", sideName(mine), ms)
		into.add("start", mine, ms)
		if mine && into.Rounds+1 == b.rounds {
			printMetrics(ctx, box)
			if b.verbose {
				return box.Console(ctx, false, os.Stdout)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	b.steps.Print()
	printCounters(exits[true], exits[false])
	row := b.compare("start", "VMM start to agent ready on KVM, "+b.kernelName+" kernel", "ms", peerName)
	row.Goal, row.Floor = benchtable.AtMost(0.8), benchtable.AtMost(1.0)
	if b.kernelName == image.OriginDebian {
		row.Goal, row.Floor = benchtable.AtMost(1.0), benchtable.AtMost(1.15)
	}
	return []benchtable.Row{row}, nil
}

// printMetrics shows our own exits by reason.
func printMetrics(ctx context.Context, box *box) {
	metrics, err := box.vmm.Metrics(ctx)
	if err != nil {
		fmt.Println("metrics:", err)
		return
	}
	fmt.Println("our counters, boot to ready:")
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		fmt.Printf("  %-40s %10d\n", name, metrics[name])
	}
}
