package hostsock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read, Write, Queued and Poll do without telling the scheduler of a system call, which is for calls that may block: the descriptors
// are non-blocking, and nobody else has them. Told, it would give the processor away whenever the call takes longer than usual, for
// example because the one that it wakes runs first, and the packet's way would go on by another thread.

// Read reads from a non-blocking descriptor of this process's own.
func Read(fd int, b []byte) (int, error) { return transfer(unix.SYS_READ, fd, b) }

// Write writes to a non-blocking descriptor of this process's own.
func Write(fd int, b []byte) (int, error) { return transfer(unix.SYS_WRITE, fd, b) }

// transfer needs nothing of b but that it stays, which it does until the call returns.
func transfer(call uintptr, fd int, b []byte) (int, error) {
	p := unsafe.Pointer(unsafe.SliceData(b))
	n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(p), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Queued returns how many bytes there are to be read from a stream.
func Queued(fd int) (int, error) {
	var n int32
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&n)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Poll takes events of an epoll instance without waiting. There must be room for at least one.
func Poll(epoll int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
