package button

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxDatagram is more than the kernel puts into one datagram here; a longer one is cut, and does not parse.
const maxDatagram = 8 << 10

// Listener listens to the power button. Its methods may be called on a nil Listener, which never hears anything.
type Listener struct {
	log     *slog.Logger
	socket  *os.File
	conn    syscall.RawConn
	at      address
	pressed chan struct{}
	ended   chan struct{}
}

// Listen begins to listen. It does not wait, and fails where the kernel has no ACPI. Without a driver for the button it does not
// fail, and hears nothing. Close ends it.
func Listen(log *slog.Logger) (*Listener, error) {
	l, err := open(familyName, groupName)
	if err != nil {
		return nil, fmt.Errorf("listen to the power button: %w", err)
	}
	l.log = log
	go l.run()
	return l, nil
}

// Pressed is closed when the button is pressed for the first time.
func (l *Listener) Pressed() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.pressed
}

// Close ends the listening and waits for it to have ended.
func (l *Listener) Close() {
	if l == nil {
		return
	}
	_ = l.socket.SetReadDeadline(time.Unix(1, 0))
	<-l.ended
	_ = l.socket.Close()
}

func open(family, group string) (*Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	l := &Listener{socket: os.NewFile(uintptr(fd), family), pressed: make(chan struct{}), ended: make(chan struct{})}
	if l.at, err = join(fd, family, group); err == nil {
		l.conn, err = l.socket.SyscallConn()
	}
	if err != nil {
		_ = l.socket.Close()
		return nil, fmt.Errorf("%s: %w", family, err)
	}
	return l, nil
}

// join makes a socket receive what is sent to a group of a family. The kernel has answered when the request is sent, so nothing
// here waits.
func join(fd int, family, group string) (address, error) {
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return address{}, err
	}
	if err := unix.Sendto(fd, request(family), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return address{}, err
	}
	answer := make([]byte, maxDatagram)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return address{}, err
	}
	at, err := parseAddress(answer[:n], group)
	if err != nil {
		return address{}, err
	}
	return at, unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(at.group))
}

// run ends with the first press, or with Close.
func (l *Listener) run() {
	defer close(l.ended)
	buf := make([]byte, maxDatagram)
	for {
		datagram, err := l.next(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return
		case errors.Is(err, unix.ENOBUFS): // more came than the socket holds; whoever pressed in vain will press again
		case err != nil:
			l.log.Warn("the power button is no longer heard", "error", err)
			return
		case pressed(datagram, l.at.family):
			close(l.pressed)
			return
		}
	}
}

// next returns the kernel's next datagram. What programs send, for which they need root's rights, is passed over.
func (l *Listener) next(buf []byte) ([]byte, error) {
	for {
		var n int
		var from unix.Sockaddr
		var err error
		waited := l.conn.Read(func(fd uintptr) bool {
			n, from, err = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(err, unix.EAGAIN)
		})
		if err := errors.Join(waited, err); err != nil {
			return nil, err
		}
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == 0 {
			return buf[:n], nil
		}
	}
}
