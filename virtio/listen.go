package virtio

import (
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// ListenUnix creates a unix socket of mode 0600 at path, which must not exist. Closing the listener removes it. Keep it in a
// private directory all the same: not every system asks for the mode.
func ListenUnix(path string) (*net.UnixListener, error) {
	cfg := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		// The file takes its mode from the socket, so that it is never open to others.
		if cerr := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); cerr != nil {
			return cerr
		}
		return err
	}}
	l, err := cfg.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}
