package peercred

import (
	"net"

	"golang.org/x/sys/unix"
)

// Of returns the process at the other end of a connection, as the kernel knows it.
func Of(conn *net.UnixConn) (pid, uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var cred *unix.Xucred
	var sockErr error
	err = raw.Control(func(fd uintptr) {
		if cred, sockErr = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED); sockErr == nil {
			pid, sockErr = unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID)
		}
	})
	if err == nil {
		err = sockErr
	}
	if err != nil {
		return 0, 0, err
	}
	return pid, int(cred.Uid), nil
}
