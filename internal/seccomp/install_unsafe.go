//go:build linux && amd64

package seccomp

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// InstallProcess puts every thread of the process under the filter, and those that they will start. All threads must have the same
// filters so far, and the calling one no_new_privs, which the others get with the filter.
func (f Filter) InstallProcess() error { return f.install(unix.SECCOMP_FILTER_FLAG_TSYNC) }

// InstallThread puts the calling thread under the filter, beside those that it has. The caller has locked it, and never unlocks
// it. Of several filters the strictest verdict counts.
func (f Filter) InstallThread() error { return f.install(0) }

func (f Filter) install(flags uintptr) error {
	program, err := f.program()
	if err != nil {
		return fmt.Errorf("assemble the filter: %w", err)
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// The kernel copies the program during the call. unsafe.Pointer appears in the argument list itself, so prog stays alive
	// and in its place until then, and program is kept by prog.
	failed, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return fmt.Errorf("install the filter: %w", errno)
	}
	if failed != 0 {
		return fmt.Errorf("install the filter: thread %d has filters of its own", failed)
	}
	return nil
}
