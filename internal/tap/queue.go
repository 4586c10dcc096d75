//go:build linux

package tap

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/link"
)

// MaxFrame is the greatest frame that a TAP carries: a segment of 64 KiB with its Ethernet header.
const MaxFrame = 65535 + 14

// Queue is one queue of a TAP device, non-blocking, in the runtime's poller.
type Queue struct {
	file *os.File
	raw  syscall.RawConn
	name string
}

// Open opens a queue of the device of that name in the network namespace of the calling thread, and makes the device if there is
// none: it goes when its last queue is closed. A device has several queues only if all of them were opened as such.
func Open(name string, several bool) (*Queue, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	name, err = setUp(fd, name, several)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("tap %s: %w", name, err)
	}
	q := &Queue{file: os.NewFile(uintptr(fd), "tap "+name), name: name}
	if q.raw, err = q.file.SyscallConn(); err != nil {
		_ = q.file.Close()
		return nil, err
	}
	return q, nil
}

// setUp ties fd to the device. The header is asked for here: a device has it or not as the last one who opened it said.
func setUp(fd int, name string, several bool) (string, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return name, err
	}
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if several {
		flags |= unix.IFF_MULTI_QUEUE
	}
	request.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return name, err
	}
	return request.Name(), unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, link.NetHeaderSize)
}

// Name returns the name of the device.
func (q *Queue) Name() string { return q.name }

// Close closes the queue.
func (q *Queue) Close() error { return q.file.Close() }

// SetOffloads says what the kernel may leave to be done of the frames that it sends, on all queues of the device: Features of the
// names Guest, since whoever reads them is a guest.
func (q *Queue) SetOffloads(f link.Features) error {
	flags := 0
	if f&link.FeatureGuestChecksum != 0 {
		flags |= unix.TUN_F_CSUM
		if f&link.FeatureGuestTSO4 != 0 {
			flags |= unix.TUN_F_TSO4
		}
		if f&link.FeatureGuestTSO6 != 0 {
			flags |= unix.TUN_F_TSO6
		}
	}
	return q.control("offloads", func(fd int) error { return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, flags) })
}

// SetPersistent says whether the device stays when its last queue is closed.
func (q *Queue) SetPersistent(stays bool) error {
	on := 0
	if stays {
		on = 1
	}
	return q.control("persistence", func(fd int) error { return unix.IoctlSetInt(fd, unix.TUNSETPERSIST, on) })
}

// SetCarrier plugs the device's cable in, or out. What the kernel sends without a carrier is dropped.
func (q *Queue) SetCarrier(up bool) error {
	on := 0
	if up {
		on = 1
	}
	return q.control("carrier", func(fd int) error { return unix.IoctlSetPointerInt(fd, unix.TUNSETCARRIER, on) })
}

func (q *Queue) control(what string, do func(fd int) error) error {
	var err error
	if failed := q.raw.Control(func(fd uintptr) { err = do(int(fd)) }); failed != nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("tap %s: %s: %w", q.name, what, err)
	}
	return nil
}
