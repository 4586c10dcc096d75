//go:build linux

package tap

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// transfer is readv or writev of a header and a frame on a non-blocking descriptor, about which the scheduler need not know. Both slices must stay in place, which they do: the
// kernel is done with them when the call returns.
func transfer(call uintptr, fd int, header, frame []byte) (int, unix.Errno) {
	if len(header) == 0 || len(frame) == 0 {
		return 0, unix.EINVAL
	}
	pieces := [2]unix.Iovec{{Base: &header[0], Len: uint64(len(header))}, {Base: &frame[0], Len: uint64(len(frame))}}
	n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&pieces[0])), uintptr(len(pieces)))
	return int(n), errno
}
