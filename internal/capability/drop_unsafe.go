//go:build linux

package capability

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// Drop empties the capability sets of every thread. A plugin of root, or one in a user namespace of its own, would
// have all of them.
func Drop() error {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	none := new([2]unix.CapUserData)
	pinner.Pin(header)
	pinner.Pin(none)
	// psx makes the call on each thread and returns after the last one. Until then the pointers must stay valid, which pinning
	// guarantees even though they pass through uintptr.
	_, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(none)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
