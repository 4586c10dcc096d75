package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/benchtable"
)

const (
	memoryGuest  = 128 // MiB
	memoryRounds = 3
)

// measureMemory compares what the monitors hold beside the guest's RAM: pages that are theirs alone, and of the shared ones those
// that no file backs.
func measureMemory(ctx context.Context, b *bench) ([]benchtable.Row, error) {
	var ours, theirs, oursFile, theirsFile []float64
	spec := sandbox.Spec{MemoryBytes: memoryGuest << 20}
	err := b.turns(ctx, memoryRounds, spec, nil, func(mine, count bool, box *box) error {
		use, err := beyondGuest(box.pid, memoryGuest<<10)
		if err != nil || !count {
			return err
		}
		if mine {
			ours, oursFile = append(ours, use.anonymous/1024), append(oursFile, use.file/1024)
		} else {
			theirs, theirsFile = append(theirs, use.anonymous/1024), append(theirsFile, use.file/1024)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	fmt.Printf("file-backed pages beside that, MiB: ours %.1f, peer %.1f\n", benchtable.Median(oursFile), benchtable.Median(theirsFile))
	row := benchtable.Compare("memory beyond guest RAM, without pages of files, 1 vCPU and 128 MiB", "MiB", peerName, ours, theirs)
	row.Goal, row.Floor = benchtable.AtMost(6/row.Peer), benchtable.AtMost(10/row.Peer)
	return []benchtable.Row{row}, nil
}

// usage is the proportional share of a process in physical pages, in KiB.
type usage struct{ anonymous, file float64 }

// beyondGuest adds up a process's mappings but the one that is the guest's RAM, told by its size in KiB.
func beyondGuest(pid int, guest float64) (u usage, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return u, err
	}
	defer f.Close()
	var size, pss, private, swap float64
	found := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		var n float64
		if _, err := fmt.Sscanf(strings.TrimSpace(value), "%f kB", &n); err != nil && name != "VmFlags" {
			continue
		}
		switch name {
		case "Size":
			size, pss, private, swap = n, 0, 0, 0
		case "Pss":
			pss = n
		case "Anonymous":
			private = n
		case "SwapPss":
			swap = n
		case "VmFlags": // the last line of a mapping
			if size == guest {
				found = true
				continue
			}
			u.anonymous += private + swap
			u.file += max(pss-private, 0)
		}
	}
	if !found {
		return u, fmt.Errorf("process %d has no mapping of the guest's size", pid)
	}
	return u, nil
}
