package main

import (
	"context"
	"fmt"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/internal/livevm"
)

const (
	memoryGuest  = 128 << 20
	memoryRounds = 3
)

// measureMemory compares what the monitors hold beside the guest's RAM and beside pages of files, which VMs share.
func measureMemory(ctx context.Context, b *bench) ([]benchtable.Row, error) {
	var ours, theirs, oursFile, theirsFile []float64
	err := b.turns(ctx, memoryRounds, sandbox.Spec{MemoryBytes: memoryGuest}, nil, func(mine, count bool, box *box) error {
		use, err := livevm.MeasureFootprint(box.pid, memoryGuest)
		if err != nil || !count {
			return err
		}
		if mine {
			ours, oursFile = append(ours, use.Anonymous/1024), append(oursFile, use.File/1024)
		} else {
			theirs, theirsFile = append(theirs, use.Anonymous/1024), append(theirsFile, use.File/1024)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	fmt.Printf("file-backed pages beside that, MiB: ours %.1f, peer %.1f\n", benchtable.Median(oursFile), benchtable.Median(theirsFile))
	row := benchtable.Compare("memory beyond guest RAM, without pages of files, 1 vCPU and 128 MiB", "MiB", peerName, ours, theirs)
	// The demand is 6 MiB, at the least 10.
	row.Goal, row.Floor = benchtable.AtMost(6/row.Peer), benchtable.AtMost(10/row.Peer)
	return []benchtable.Row{row}, nil
}
