package vsock

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
)

// maxVector is how many pieces one system call moves; Linux allows 1024.
const maxVector = 64

// vector reads and writes segments of guest memory from and to sockets, without a copy and, once bound to its
// closures, without an allocation. The kernel checks every address, so memory that went away is EFAULT here.
type vector struct {
	iov   [maxVector]unix.Iovec
	n     int
	trap  uintptr
	moved int
	errno syscall.Errno
	call  func(fd uintptr)
}

// read fills the segments, at most maxVector of them, with what the socket has. It returns 0 at its end and
// EAGAIN where there is nothing yet.
func (v *vector) read(raw syscall.RawConn, s virtio.Segments) (int, error) {
	return v.move(raw, unix.SYS_READV, s)
}

// write sends as much of the segments as the socket takes without waiting.
func (v *vector) write(raw syscall.RawConn, s virtio.Segments) (int, error) {
	return v.move(raw, unix.SYS_WRITEV, s)
}

func (v *vector) move(raw syscall.RawConn, trap uintptr, s virtio.Segments) (int, error) {
	v.n, v.trap, v.moved, v.errno = 0, trap, 0, 0
	for _, b := range s {
		if v.n == maxVector {
			break
		}
		if len(b) == 0 {
			continue
		}
		v.iov[v.n].Base = unsafe.SliceData(b)
		v.iov[v.n].SetLen(len(b))
		v.n++
	}
	if v.call == nil {
		v.call = v.syscall
	}
	// Control holds the descriptor open, and unlike Read and Write does not wait for another goroutine that waits
	// for the socket to become ready.
	if err := raw.Control(v.call); err != nil {
		return 0, err
	}
	if v.errno != 0 {
		return 0, v.errno
	}
	return v.moved, nil
}

// syscall makes the system call. fd is a non-blocking socket; the first n of iov point to memory that stays
// mapped during the call, since the device is not stopped before its goroutines have returned.
func (v *vector) syscall(fd uintptr) {
	for {
		n, _, errno := syscall.Syscall(v.trap, fd, uintptr(unsafe.Pointer(&v.iov)), uintptr(v.n))
		if errno == unix.EINTR {
			continue
		}
		v.moved, v.errno = int(n), errno
		if errno != 0 {
			v.moved = 0
		}
		return
	}
}
