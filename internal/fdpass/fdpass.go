//go:build linux

package fdpass

import (
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// MaxFDs is how many descriptors the kernel carries in one message (SCM_MAX_FD).
const MaxFDs = 253

const fdSize = 4

// ErrTooMany is wrapped by Receive when a message brought more descriptors than were asked for.
var ErrTooMany = errors.New("too many file descriptors")

// ErrTooLong is returned by Receive when a message of a packet socket is longer than the buffer.
var ErrTooLong = errors.New("message is longer than allowed")

// Send writes p, which must not be empty, with fds. The caller keeps its descriptors.
func Send(conn *net.UnixConn, p []byte, fds ...int) error {
	if len(p) == 0 {
		return errors.New("a message without bytes cannot carry file descriptors")
	}
	if len(fds) > MaxFDs {
		return fmt.Errorf("%d of them: %w", len(fds), ErrTooMany)
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	n, oobn, err := conn.WriteMsgUnix(p, oob, nil)
	if err != nil {
		return err
	}
	if oobn != len(oob) {
		return errors.New("file descriptors were not sent")
	}
	// A stream socket may take less; the descriptors went with the first byte.
	if n < len(p) {
		_, err = conn.Write(p[n:])
	}
	return err
}

// Receive reads once into p, which must not be empty, and takes at most limit descriptors, close-on-exec, which the
// caller owns. A packet socket gives one whole message. io.EOF means that the peer hung up.
func Receive(conn *net.UnixConn, p []byte, limit int) (n int, fds []int, err error) {
	var oob []byte
	if limit > 0 {
		oob = make([]byte, unix.CmsgSpace(limit*fdSize))
	}
	// ReadMsgUnix sets MSG_CMSG_CLOEXEC.
	n, oobn, flags, _, err := conn.ReadMsgUnix(p, oob)
	fds, rightsErr := parseRights(oob[:oobn])
	switch {
	case err != nil:
	case rightsErr != nil:
		err = rightsErr
	case flags&unix.MSG_CTRUNC != 0 || len(fds) > limit:
		err = fmt.Errorf("more than %d: %w", limit, ErrTooMany)
	case flags&unix.MSG_TRUNC != 0:
		err = ErrTooLong
	case n == 0:
		err = io.EOF
	}
	if err != nil {
		CloseAll(fds)
		return 0, nil, err
	}
	return n, fds, nil
}

// parseRights returns every descriptor in oob, also along with an error.
func parseRights(oob []byte) (fds []int, err error) {
	if len(oob) == 0 {
		return nil, nil
	}
	controls, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("ancillary data: %w", err)
	}
	for i := range controls {
		got, err := unix.ParseUnixRights(&controls[i])
		if err != nil {
			continue // credentials and the like
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

// CloseAll closes fds.
func CloseAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
