package jail

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/seccomp"
)

// socketCalls work on what is open, and on sockets.
var socketCalls = []uintptr{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_RECVFROM, unix.SYS_SENDTO, unix.SYS_RECVMSG, unix.SYS_SENDMSG,
	unix.SYS_RECVMMSG, unix.SYS_SENDMMSG,
	unix.SYS_CONNECT, unix.SYS_ACCEPT4, unix.SYS_SHUTDOWN, unix.SYS_CLOSE, unix.SYS_BIND, unix.SYS_LISTEN, // published ports come at run time
	unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
	unix.SYS_EVENTFD2,                                                         // links
	unix.SYS_TIMERFD_SETTIME,                                                  // package poll
	unix.SYS_MEMFD_CREATE, unix.SYS_FTRUNCATE, unix.SYS_FCNTL, unix.SYS_FSTAT, // the memory of a new link
	unix.SYS_PREAD64, unix.SYS_LSEEK, unix.SYS_PREADV2, // the resolver's configuration; eventfds without blocking
	unix.SYS_UNAME, // package net asks once what the kernel can do
}

// socketTypeMask takes the flags off the type of a socket (include/linux/net.h).
const socketTypeMask = 0xf

// sockets are the kinds that may be made. A datagram socket of IP is one of UDP, or of unprivileged ping: the kernel has no other.
func sockets() []seccomp.Rule {
	var rules []seccomp.Rule
	for _, s := range []struct {
		family uint32
		kind   uint64
	}{
		{unix.AF_INET, unix.SOCK_STREAM}, {unix.AF_INET, unix.SOCK_DGRAM},
		{unix.AF_INET6, unix.SOCK_STREAM}, {unix.AF_INET6, unix.SOCK_DGRAM},
		{unix.AF_UNIX, unix.SOCK_STREAM},
	} {
		rules = append(rules, seccomp.AllowIf(unix.SYS_SOCKET,
			seccomp.Equal32(0, s.family), seccomp.Arg{Index: 1, Mask: socketTypeMask, Value: s.kind}))
	}
	return rules
}

func restrictCalls(landlocked bool) error {
	self := os.Getpid()
	rules := slices.Concat(
		seccomp.AllowAll(socketCalls...),    // first, since the guest's bytes pass here
		seccomp.AllowRequests(unix.TIOCINQ), // how much there is to read
		seccomp.GoThread(self),
		seccomp.GoProcess(self),
		seccomp.OwnSockets(landlocked),
		sockets(),
	)
	return seccomp.Filter{Rules: rules, Default: seccomp.Kill}.InstallProcess()
}
