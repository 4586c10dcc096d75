//go:build linux

package poll

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// wait takes events of an epoll instance, for at most timeout milliseconds, without telling the scheduler. An interruption is like no event. events
// must have room for one at least, and stays in place until the call returns.
func wait(epoll int, events []unix.EpollEvent, timeout int) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)),
		uintptr(timeout), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, errno
}

// yield lets others have the processor who have something to run on it, without telling the scheduler of Go.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
