package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// kvmCounters reads what KVM has counted for the VMs that run, of which there is one (debugfs: kvm/*).
func kvmCounters() map[string]uint64 {
	out := map[string]uint64{}
	files, _ := filepath.Glob("/sys/kernel/debug/kvm/*")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a directory
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil {
			out[filepath.Base(file)] = n
		}
	}
	return out
}

// printCounters shows both sides' counters, those that are not 0 on both.
func printCounters(ours, theirs map[string]uint64) {
	names := slices.Sorted(maps.Keys(ours))
	if len(names) == 0 {
		fmt.Println("KVM's own counters are not readable (debugfs)")
		return
	}
	fmt.Printf("%-28s %12s %12s\n", "KVM's counters, last boot", "ours", "peer")
	for _, name := range names {
		if ours[name]+theirs[name] > 0 {
			fmt.Printf("%-28s %12d %12d\n", name, ours[name], theirs[name])
		}
	}
}
