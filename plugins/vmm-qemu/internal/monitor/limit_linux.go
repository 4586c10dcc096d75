package monitor

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// maxFiles is what QEMU may have open: its connections, disks and eventfds, with room.
const maxFiles = 256

// limit sets QEMU's resource limits from outside, since Go has no hook between fork and exec.
func limit(pid int) error {
	for resource, value := range map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: maxFiles} {
		err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: value, Max: value}, nil)
		if errors.Is(err, unix.ESRCH) {
			return os.ErrProcessDone
		}
		if err != nil {
			return err
		}
	}
	return nil
}
