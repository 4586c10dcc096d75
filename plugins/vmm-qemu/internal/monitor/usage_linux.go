package monitor

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"github.com/voidbox-run/voidbox/internal/guestconsole"
)

// usage reads what QEMU consumes. Its files are opened before this process is confined, and read anew each time.
type usage struct {
	stat, statm *os.File
	ring        *guestconsole.Ring
}

// userHz is the unit of times in /proc, fixed in Linux's ABI.
const userHz = 100

func openUsage(pid int, ring *guestconsole.Ring) *usage {
	stat, _ := os.Open(fmt.Sprintf("/proc/%d/stat", pid))
	statm, _ := os.Open(fmt.Sprintf("/proc/%d/statm", pid))
	return &usage{stat: stat, statm: statm, ring: ring}
}

// read returns what is known; a figure of a process that has ended is left out.
func (u *usage) read() map[string]uint64 {
	out := map[string]uint64{"console.bytes": u.ring.Written()}
	// proc(5): fields 14 and 15 of stat are user and system time; the name before may hold spaces, so count from its ')'.
	stat := readAgain(u.stat)
	if at := bytes.LastIndexByte(stat, ')'); at >= 0 {
		fields := bytes.Fields(stat[at+1:])
		if len(fields) > 12 {
			out["cpu.user_ns"] = number(fields[11]) * (1e9 / userHz)
			out["cpu.system_ns"] = number(fields[12]) * (1e9 / userHz)
		}
	}
	if fields := bytes.Fields(readAgain(u.statm)); len(fields) > 1 {
		out["memory.rss_bytes"] = number(fields[1]) * uint64(os.Getpagesize())
	}
	return out
}

func (u *usage) close() {
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
