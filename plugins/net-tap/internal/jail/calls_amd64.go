//go:build linux

package jail

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/seccomp"
)

// calls work on what is open: queues, links, the host's connection.
var calls = []uintptr{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_RECVMSG, unix.SYS_SENDMSG,
	unix.SYS_ACCEPT4, unix.SYS_SHUTDOWN, unix.SYS_CLOSE,
	unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
	unix.SYS_EVENTFD2, unix.SYS_TIMERFD_CREATE, unix.SYS_TIMERFD_SETTIME, // links, and what waits for them
	unix.SYS_PREADV2,                                                          // eventfds without blocking
	unix.SYS_MEMFD_CREATE, unix.SYS_FTRUNCATE, unix.SYS_FCNTL, unix.SYS_FSTAT, // the memory of a new link
}

func restrictCalls(landlocked bool) error {
	self := os.Getpid()
	rules := slices.Concat(
		seccomp.AllowAll(calls...), // first, since frames pass here
		seccomp.AllowRequests(unix.TUNSETOFFLOAD, unix.TUNSETCARRIER),
		seccomp.GoThread(self),
		seccomp.GoProcess(self),
		seccomp.OwnSockets(landlocked),
	)
	return seccomp.Filter{Rules: rules, Default: seccomp.Kill}.InstallProcess()
}
