//go:build linux

package link

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// takeCounter reads and clears an eventfd's counter without ever blocking, whatever O_NONBLOCK says: the flag belongs
// to the open file, which the peer shares and may change. It can therefore do without telling the scheduler.
// Preconditions: none; the kernel writes at most the 8 bytes of counter, which live until the call returns.
func takeCounter(fd uintptr) (n int, errno unix.Errno) {
	var counter [8]byte
	iov := unix.Iovec{Base: &counter[0]}
	iov.SetLen(len(counter))
	const noOffset = ^uintptr(0) // -1: the file has no position
	r, _, errno := unix.RawSyscall6(unix.SYS_PREADV2, fd, uintptr(unsafe.Pointer(&iov)), 1, noOffset, noOffset, unix.RWF_NOWAIT)
	if errno != 0 {
		return 0, errno
	}
	return int(r), 0
}
