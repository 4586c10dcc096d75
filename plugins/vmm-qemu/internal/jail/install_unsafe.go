//go:build linux

package jail

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// installOnAllThreads hands program, which is not empty, to seccomp(2) on each thread. The kernel copies it during the call;
// until then the pointers must stay valid, which pinning guarantees even though they pass through uintptr.
func installOnAllThreads(program []syscall.SockFilter) syscall.Errno {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	prog := &syscall.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	pinner.Pin(&program[0])
	pinner.Pin(prog)
	_, _, errno := psx.Syscall3(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(prog)))
	return errno
}
