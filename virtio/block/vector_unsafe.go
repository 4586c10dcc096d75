//go:build linux

package block

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
)

// maxVector is how many pieces one system call moves. It is enough for what a driver that keeps to segMax sends; a longer chain
// takes several calls.
const maxVector = queueSize

// vector is the argument of the system calls that move guest memory to and from a file, without a copy or an allocation.
// Each goroutine that makes such calls has one.
type vector struct {
	iov [maxVector]unix.Iovec
	n   int
}

// fill points the vector to the bytes of s from skip on, at most n of them or as many as maxVector pieces hold.
func (v *vector) fill(s virtio.Segments, skip, n int) {
	v.n = 0
	for _, b := range s {
		if n == 0 || v.n == maxVector {
			return
		}
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		b = b[skip:min(len(b), skip+n)]
		v.iov[v.n].Base = unsafe.SliceData(b)
		v.iov[v.n].SetLen(len(b))
		v.n++
		n -= len(b)
		skip = 0
	}
}

// preadv2 reads into the vector's memory; flags are RWF_*. The kernel checks every address, so memory that went away is EFAULT.
//
// Preconditions of preadv2 and pwritev2: fd stays open and the memory mapped during the call, since the device is neither
// closed nor stopped before its goroutines have returned.
func (v *vector) preadv2(fd int, offset int64, flags int) (int, error) {
	return v.call(unix.SYS_PREADV2, fd, offset, flags)
}

func (v *vector) pwritev2(fd int, offset int64, flags int) (int, error) {
	return v.call(unix.SYS_PWRITEV2, fd, offset, flags)
}

// call passes the offset in one register, as 64-bit kernels take it; the second half is ignored there.
func (v *vector) call(trap uintptr, fd int, offset int64, flags int) (int, error) {
	for {
		n, _, errno := syscall.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(&v.iov)), uintptr(v.n), uintptr(offset), 0, uintptr(flags))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
