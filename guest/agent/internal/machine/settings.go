package machine

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/guest/agent/internal/cgroup"
)

// sysctls make a machine for one user: he may bind any port and ping, and may not look into the kernel.
var sysctls = map[string]string{
	"net/ipv4/ip_unprivileged_port_start": "0",
	"net/ipv4/ping_group_range":           "0 2147483647",
	"kernel/kptr_restrict":                "2",
	"kernel/dmesg_restrict":               "1",
	"fs/protected_symlinks":               "1",
	"fs/protected_hardlinks":              "1",
	"fs/protected_fifos":                  "1",
	"fs/protected_regular":                "1",
	"vm/panic_on_oom":                     "0",
}

// SetSysctls applies the settings. A kernel that lacks one does without.
func SetSysctls() error {
	var errs []error
	for name, value := range sysctls {
		err := os.WriteFile("/proc/sys/"+name, []byte(value), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// SetOpenFiles sets how many files the agent, and commands without a limit of their own, may open. Calling the syscall
// package tells the Go runtime to let children inherit the value instead of what it found at its start.
func SetOpenFiles() error {
	return syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 65536, Max: 524288})
}

// reserve is memory that commands cannot take from the agent and the kernel, in bytes.
const reserve = 40 << 20

// WorkBounds are the bounds of everything but the agent: all memory that is free now, so neither the kernel's nor the
// initramfs's, but a reserve, and as many processes as asked for or three quarters of what the kernel allows.
func WorkBounds(processes uint64) (cgroup.Bounds, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return cgroup.Bounds{}, err
	}
	free := uint64(info.Freeram) * uint64(info.Unit)
	b := cgroup.Bounds{MemoryBytes: free - min(reserve, free/4), Processes: processes}
	if b.Processes > 0 {
		return b, nil
	}
	limit, err := os.ReadFile("/proc/sys/kernel/threads-max")
	if err != nil {
		return b, err
	}
	threads, err := strconv.ParseUint(strings.TrimSpace(string(limit)), 10, 64)
	b.Processes = threads / 4 * 3
	return b, err
}
