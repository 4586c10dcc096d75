//go:build linux

package fdpass

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen makes a unix socket at path, which must not exist, for its owner alone (mode 0700); keep it in a private
// directory all the same. network is "unix" or "unixpacket". Closing the listener removes the socket.
func Listen(network, path string) (*net.UnixListener, error) {
	cfg := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		// The socket file takes its mode from the socket, so that it never is open to others.
		if cerr := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o700) }); cerr != nil {
			return cerr
		}
		return err
	}}
	l, err := cfg.Listen(context.Background(), network, path)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// Pair returns two connected sockets; typ is unix.SOCK_STREAM or unix.SOCK_SEQPACKET.
func Pair(typ int) (a, b *net.UnixConn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	a, err = Conn(fds[0])
	if err != nil {
		_ = unix.Close(fds[1])
		return nil, nil, err
	}
	b, err = Conn(fds[1])
	if err != nil {
		_ = a.Close()
		return nil, nil, err
	}
	return a, b, nil
}

// Conn takes over fd, a connected unix socket, also when it fails.
func Conn(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "unix socket")
	if f == nil {
		return nil, fmt.Errorf("file descriptor %d", fd)
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("file descriptor %d is not a unix socket", fd)
	}
	return u, nil
}

// CheckPeer demands that the process which connected, listened or made the pair runs as user uid (SO_PEERCRED).
func CheckPeer(conn *net.UnixConn, uid int) error {
	cred, err := peer(conn)
	if err != nil {
		return err
	}
	if int(cred.Uid) != uid {
		return fmt.Errorf("peer is user %d, only user %d may connect", cred.Uid, uid)
	}
	return nil
}

// CheckPeerProcess demands that the process pid, and no other, did so.
func CheckPeerProcess(conn *net.UnixConn, pid int) error {
	cred, err := peer(conn)
	if err != nil {
		return err
	}
	if int(cred.Pid) != pid {
		return fmt.Errorf("peer is process %d, only process %d may connect", cred.Pid, pid)
	}
	return nil
}

func peer(conn *net.UnixConn) (*unix.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	var cred *unix.Ucred
	cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if cerr != nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	return cred, nil
}
