// Package vitals reads from procfs what the sandbox contract tells of the environment: what it is, and how it does.
package vitals

import (
	"bufio"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// tick is the unit of times in /proc/stat, the same on every architecture that Go supports.
const tick = 10 * time.Millisecond

// maxFile bounds how much of a file is read.
const maxFile = 1 << 20

// Describe fills in what the kernel knows of the environment.
func Describe(info *sandbox.Info) error {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return err
	}
	var sys unix.Sysinfo_t
	if err := unix.Sysinfo(&sys); err != nil {
		return err
	}
	info.Hostname = unix.ByteSliceToString(uts.Nodename[:])
	info.Kernel = unix.ByteSliceToString(uts.Release[:])
	info.Architecture = unix.ByteSliceToString(uts.Machine[:])
	info.CPUs = runtime.NumCPU()
	info.MemoryBytes = uint64(sys.Totalram) * uint64(sys.Unit)
	info.Uptime = Uptime()
	mounts, err := Mounts("/proc/self/mounts")
	info.Mounts = mounts
	return err
}

// Uptime is the time since the kernel started, sleep included.
func Uptime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// Mounts reads a file in the format of fstab(5).
func Mounts(file string) ([]sandbox.Mount, error) {
	var mounts []sandbox.Mount
	err := eachLine(file, func(fields []string) {
		if len(fields) < 4 {
			return
		}
		m := sandbox.Mount{Source: unescape(fields[0]), Target: unescape(fields[1]), Type: fields[2]}
		for _, option := range strings.Split(fields[3], ",") {
			m.ReadOnly = m.ReadOnly || option == "ro"
		}
		mounts = append(mounts, m)
	})
	return mounts, err
}

// unescape undoes the octal escapes of the mount table: space, tab, line end, backslash.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace

// Measure reads counters and gauges of the moment.
func Measure() (sandbox.Metrics, error) {
	var m sandbox.Metrics
	readers := []func(*sandbox.Metrics) error{cpu, memory, load, network, disk, processes}
	for _, read := range readers {
		if err := read(&m); err != nil {
			return sandbox.Metrics{}, err
		}
	}
	return m, nil
}

// cpu adds up user, nice, system, irq, softirq and steal, and leaves idle and iowait out. Guest time is part of user.
func cpu(m *sandbox.Metrics) error {
	return eachLine("/proc/stat", func(f []string) {
		if len(f) < 9 || f[0] != "cpu" {
			return
		}
		for _, i := range []int{1, 2, 3, 6, 7, 8} {
			m.CPUTime += time.Duration(number(f[i])) * tick
		}
	})
}

func memory(m *sandbox.Metrics) error {
	return eachLine("/proc/meminfo", func(f []string) {
		switch {
		case len(f) < 2:
		case f[0] == "MemTotal:":
			m.MemoryTotalBytes = number(f[1]) << 10
		case f[0] == "MemAvailable:":
			m.MemoryAvailableBytes = number(f[1]) << 10
		}
	})
}

func load(m *sandbox.Metrics) error {
	return eachLine("/proc/loadavg", func(f []string) {
		if len(f) > 0 {
			m.Load1m, _ = strconv.ParseFloat(f[0], 64)
		}
	})
}

// network adds up all devices but the loopback.
func network(m *sandbox.Metrics) error {
	return eachLine("/proc/self/net/dev", func(f []string) {
		if len(f) < 10 || !strings.HasSuffix(f[0], ":") || f[0] == "lo:" {
			return
		}
		m.NetReceivedBytes += number(f[1])
		m.NetSentBytes += number(f[9])
	})
}

func disk(m *sandbox.Metrics) error {
	var fs unix.Statfs_t
	if err := unix.Statfs("/", &fs); err != nil {
		return err
	}
	m.DiskTotalBytes = fs.Blocks * uint64(fs.Bsize)
	m.DiskFreeBytes = fs.Bavail * uint64(fs.Bsize)
	return nil
}

func processes(m *sandbox.Metrics) error {
	m.Processes = len(table())
	return nil
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

func eachLine(file string, fn func(fields []string)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxFile))
	for lines.Scan() {
		fn(strings.Fields(lines.Text()))
	}
	return lines.Err()
}
