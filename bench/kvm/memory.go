package main

import (
	"context"
	"fmt"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/benchtable"
	"github.com/voidbox-run/voidbox/internal/livevm"
)

const memoryGuest = 128 << 20

// measureMemory compares what the monitors hold beside the guest's RAM and beside pages of files, which VMs share.
func measureMemory(ctx context.Context, b *bench) ([]benchtable.Row, error) {
	err := b.turns(ctx, sandbox.Spec{MemoryBytes: memoryGuest}, nil, func(mine bool, box *box, into *record) error {
		use, err := livevm.MeasureFootprint(box.pid, memoryGuest)
		if err != nil {
			return err
		}
		fmt.Printf("%-5v %6.1f MiB, and %.1f of files\n", sideName(mine), use.Anonymous/1024, use.File/1024)
		into.add("anonymous", mine, use.Anonymous/1024)
		into.add("file", mine, use.File/1024)
		return nil
	})
	if err != nil {
		return nil, err
	}
	private := b.compare("anonymous", "memory beyond guest RAM, without pages of files, 1 vCPU and 128 MiB", "MiB", peerName)
	// The demand is 6 MiB, at the least 10.
	private.Goal, private.Floor = benchtable.AtMost(6/private.Peer), benchtable.AtMost(10/private.Peer)
	return []benchtable.Row{private, b.compare("file", "pages of files beside that", "MiB", peerName)}, nil
}
