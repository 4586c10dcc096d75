//go:build linux

package taplink

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/link"
)

// Open makes a TAP device of that name in the network namespace of the calling thread. It goes when the file is closed.
func Open(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	if err := setUp(fd, name); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("tap %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), "tap "+name), nil
}

func setUp(fd int, name string) error {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return err
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, link.NetHeaderSize); err != nil {
		return err
	}
	return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6)
}

// transfer is readv or writev of a header and a frame. Both slices must stay in place, which they do: the kernel is done with them
// when the call returns.
func transfer(call, fd uintptr, header, frame []byte) (int, unix.Errno) {
	if len(header) == 0 || len(frame) == 0 {
		return 0, unix.EINVAL
	}
	pieces := [2]unix.Iovec{{Base: &header[0], Len: uint64(len(header))}, {Base: &frame[0], Len: uint64(len(frame))}}
	n, _, errno := unix.Syscall(call, fd, uintptr(unsafe.Pointer(&pieces[0])), uintptr(len(pieces)))
	return int(n), errno
}
