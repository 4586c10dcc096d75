package machine

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/guest/agent/internal/vitals"
)

// DisableReset makes Ctrl-Alt-Del a signal to PID 1 instead of a reset.
func DisableReset() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) }

// PowerOff unmounts what can be and ends the machine. It does not return unless the kernel refuses.
//
// Without ACPI the kernel cannot switch itself off and would halt for good, so it resets instead, which a monitor that is
// told not to reboot takes for the end.
func PowerOff() error {
	unix.Sync()
	unmountAll()
	unix.Sync()
	if _, err := os.Stat("/sys/firmware/acpi/tables"); err == nil {
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// unmountAll leaves no disk or share with anything to write. The root cannot go and becomes read-only instead.
func unmountAll() {
	mounts, err := vitals.Mounts("/proc/self/mounts")
	if err != nil {
		return
	}
	slices.Reverse(mounts) // later mounts may lie on earlier ones
	for _, m := range mounts {
		switch {
		case m.Target == "/":
			_ = unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		case m.Target == "/proc" || strings.HasPrefix(m.Target, "/sys") || strings.HasPrefix(m.Target, "/dev"):
		case unix.Unmount(m.Target, 0) != nil:
			_ = unix.Mount("", m.Target, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
	}
}
