package hostmem

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Host names the files that are looked at; a test brings its own.
type Host struct {
	MemInfo    string // /proc/meminfo
	SelfCgroup string // /proc/self/cgroup
	CgroupRoot string // /sys/fs/cgroup
}

// Local is the machine that this process runs on.
func Local() Host {
	return Host{MemInfo: "/proc/meminfo", SelfCgroup: "/proc/self/cgroup", CgroupRoot: "/sys/fs/cgroup"}
}

// Available returns the bytes that can be had now, and what bounds them, in words.
func (h Host) Available() (bytes uint64, bound string, err error) {
	kib, err := field(h.MemInfo, "MemAvailable:")
	if err != nil {
		return 0, "", err
	}
	bytes, bound = kib<<10, "the host's available memory"
	for dir := h.cgroup(); dir != ""; dir = parent(dir, h.CgroupRoot) {
		free, limited := cgroupFree(dir)
		if limited && free < bytes {
			bytes, bound = free, "the memory limit of control group "+strings.TrimPrefix(dir, h.CgroupRoot)
		}
	}
	return bytes, bound, nil
}

// cgroup returns the directory of our own group in the unified hierarchy, "" where there is none.
func (h Host) cgroup() string {
	data, err := os.ReadFile(h.SelfCgroup)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join(h.CgroupRoot, path)
		}
	}
	return ""
}

func parent(dir, root string) string {
	if up := filepath.Dir(dir); len(up) > len(root) {
		return up
	}
	return ""
}

// cgroupFree returns what one group may still take; its page cache that has not been used of late can be reclaimed, and
// counts as free.
func cgroupFree(dir string) (free uint64, limited bool) {
	limit, err := number(filepath.Join(dir, "memory.max")) // "max" is no number
	if err != nil {
		return 0, false
	}
	used, err := number(filepath.Join(dir, "memory.current"))
	if err != nil {
		return 0, false
	}
	cache, _ := field(filepath.Join(dir, "memory.stat"), "inactive_file")
	used -= min(used, cache)
	return limit - min(limit, used), true
}

func number(path string) (uint64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
}

// field finds the number that follows a name at the beginning of a line.
func field(path, name string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) >= 2 && words[0] == name {
			return strconv.ParseUint(words[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}
