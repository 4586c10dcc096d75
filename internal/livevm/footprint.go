package livevm

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Footprint is what a process holds: a monitor, beside the guest's RAM, or another plugin.
type Footprint struct {
	Anonymous float64 // KiB of pages that no file backs
	File      float64 // KiB of pages of files, its proportional share
	Files     int     // open descriptors
	Threads   int
}

// MeasureFootprint looks at a process whose guest has so many bytes of RAM, in one mapping or, with room to align it in, in the
// largest one; 0 means that it has no guest.
func MeasureFootprint(pid int, guest uint64) (f Footprint, err error) {
	if err := f.addMappings(pid, float64(guest>>10)); err != nil {
		return f, err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return f, err
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	f.Files, f.Threads = len(files), len(threads)
	return f, err
}

// mapping is one of a process's, in KiB.
type mapping struct{ size, pss, anonymous float64 }

// addMappings adds up what /proc/PID/smaps tells (proc(5)), guest RAM left out: every mapping of the guest's size and those next to
// it which are the room that RAM was aligned in.
func (f *Footprint) addMappings(pid int, guest float64) error {
	smaps, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return err
	}
	defer smaps.Close()
	var m mapping
	found := guest == 0
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		var n float64
		_, _ = fmt.Sscanf(strings.TrimSpace(value), "%f kB", &n)
		switch name {
		case "Size":
			m = mapping{size: n}
		case "Pss":
			m.pss = n
		case "Anonymous":
			m.anonymous = n
		case "VmFlags": // the last line of a mapping
			if guest > 0 && m.size >= guest {
				found = true
				continue
			}
			f.Anonymous += m.anonymous
			f.File += max(m.pss-m.anonymous, 0)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if guest > 0 && !found {
		return errors.New("the monitor has no mapping that is as large as its guest's RAM")
	}
	return nil
}
