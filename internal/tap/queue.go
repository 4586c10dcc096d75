//go:build linux

package tap

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/link"
)

// MaxFrame is the greatest frame that a TAP carries: a segment of 64 KiB with its Ethernet header.
const MaxFrame = 65535 + 14

var (
	// ErrGone says that the device was deleted while its queue was open.
	ErrGone = errors.New("the TAP device was deleted")
	// ErrEmpty says that there is no frame to read.
	ErrEmpty = errors.New("no frame waits in the TAP device")
)

// Queue is one queue of a TAP device, non-blocking. Its methods are not to be called once it is closed.
type Queue struct {
	fd     int
	name   string
	header [link.NetHeaderSize]byte // of the frame that is being read
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
	return &Queue{fd: fd, name: name}, nil
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
func (q *Queue) Close() error { return unix.Close(q.fd) }

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
	return q.explain("offloads", unix.IoctlSetInt(q.fd, unix.TUNSETOFFLOAD, flags))
}

// SetPersistent says whether the device stays when its last queue is closed.
func (q *Queue) SetPersistent(stays bool) error {
	return q.explain("persistence", unix.IoctlSetInt(q.fd, unix.TUNSETPERSIST, number(stays)))
}

// SetCarrier plugs the device's cable in, or out. What the kernel sends without a carrier is dropped.
func (q *Queue) SetCarrier(up bool) error {
	return q.explain("carrier", unix.IoctlSetPointerInt(q.fd, unix.TUNSETCARRIER, number(up)))
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (q *Queue) explain(what string, err error) error {
	if err != nil {
		return fmt.Errorf("tap %s: %s: %w", q.name, what, err)
	}
	return nil
}

// Read reads a frame and returns its offload header and length, or ErrEmpty.
func (q *Queue) Read(frame []byte) (link.NetHeader, int, error) {
	n, errno := transfer(unix.SYS_READV, q.fd, q.header[:], frame)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return link.NetHeader{}, 0, ErrEmpty
	case errno == unix.EBADFD:
		return link.NetHeader{}, 0, ErrGone
	case errno != 0:
		return link.NetHeader{}, 0, q.explain("read", errno)
	case n < len(q.header):
		return link.NetHeader{}, 0, q.explain("read", io.ErrUnexpectedEOF)
	}
	return link.ParseNetHeader(q.header), n - len(q.header), nil
}

// Write gives a frame to the kernel. One that it does not take is lost, as on any wire, and taken is false; an error is the queue's
// end.
func (q *Queue) Write(h link.NetHeader, frame []byte) (taken bool, err error) {
	header := h.Bytes()
	_, errno := transfer(unix.SYS_WRITEV, q.fd, header[:], frame)
	if errno == unix.EBADFD {
		return false, ErrGone
	}
	return errno == 0, nil
}
