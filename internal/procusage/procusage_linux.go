package procusage

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Usage is one process.
type Usage struct{ stat, statm *os.File }

// userHz is the unit of times in /proc, fixed in Linux's ABI.
const userHz = 100

// Open prepares to read what a process consumes. The caller closes it.
func Open(pid int) *Usage {
	stat, _ := os.Open(fmt.Sprintf("/proc/%d/stat", pid))
	statm, _ := os.Open(fmt.Sprintf("/proc/%d/statm", pid))
	return &Usage{stat: stat, statm: statm}
}

// Add puts what is known into counters; a figure of a process that has ended is left out.
func (u *Usage) Add(counters map[string]uint64) {
	// proc(5): fields 14 and 15 of stat are user and system time; the name before may hold spaces, so count from its ')'.
	stat := readAgain(u.stat)
	if at := bytes.LastIndexByte(stat, ')'); at >= 0 {
		fields := bytes.Fields(stat[at+1:])
		if len(fields) > 12 {
			counters["cpu.user_ns"] = number(fields[11]) * (1e9 / userHz)
			counters["cpu.system_ns"] = number(fields[12]) * (1e9 / userHz)
		}
	}
	if fields := bytes.Fields(readAgain(u.statm)); len(fields) > 1 {
		counters["memory.rss_bytes"] = number(fields[1]) * uint64(os.Getpagesize())
	}
}

// Close closes the files.
func (u *Usage) Close() {
	for _, f := range []*os.File{u.stat, u.statm} {
		if f != nil {
			_ = f.Close()
		}
	}
}

func readAgain(f *os.File) []byte {
	if f == nil {
		return nil
	}
	buf := make([]byte, 4096)
	n, _ := f.ReadAt(buf, 0)
	return buf[:n]
}

func number(field []byte) uint64 {
	n, _ := strconv.ParseUint(string(field), 10, 64)
	return n
}
