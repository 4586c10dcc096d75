package vitals

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Descendants returns the ids of the processes below pid, the kernel's own threads left out.
func Descendants(pid int) []int {
	children := map[int][]int{}
	for id, parent := range table() {
		children[parent] = append(children[parent], id)
	}
	var list []int
	for next := []int{pid}; len(next) > 0; next = next[1:] {
		list = append(list, children[next[0]]...)
		next = append(next, children[next[0]]...)
	}
	return list
}

// table maps every process, the kernel's own threads left out, to its parent.
func table() map[int]int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	parents := map[int]int{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if parent, ok := parent(name); ok {
			parents[pid] = parent
		}
	}
	return parents
}

// parent reads /proc/PID/stat, where after the name in parentheses come state, ppid, pgrp, session, tty_nr, tpgid, flags.
// It fails for a process that is gone and for a thread of the kernel.
func parent(pid string) (int, bool) {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return 0, false
	}
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	const pfKthread = 0x00200000
	if len(fields) < 7 || number(fields[6])&pfKthread != 0 {
		return 0, false
	}
	return int(number(fields[1])), true
}
