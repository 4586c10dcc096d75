package broker

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/seccomp"
)

// calls are what a server and a client of HTTP make of the kernel.
var calls = []uintptr{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_WRITEV, unix.SYS_CLOSE, unix.SYS_RECVFROM, unix.SYS_SENDTO, unix.SYS_RECVMSG, unix.SYS_SENDMSG,
	unix.SYS_CONNECT, unix.SYS_ACCEPT4, unix.SYS_BIND, unix.SYS_SHUTDOWN, // bind: Go's resolver chooses a source address by trying
	unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
	unix.SYS_FCNTL, unix.SYS_FSTAT, unix.SYS_LSEEK, unix.SYS_PREAD64, // the resolver's files
	unix.SYS_SPLICE, unix.SYS_SENDFILE, unix.SYS_PIPE2, // package net copies between sockets by these where it may
	unix.SYS_UNAME,
}

// socketTypeMask takes the flags off the type of a socket (include/linux/net.h).
const socketTypeMask = 0xf

func restrictCalls(landlocked bool) error {
	self := os.Getpid()
	rules := slices.Concat(seccomp.AllowAll(calls...), seccomp.GoThread(self), seccomp.GoProcess(self), seccomp.OwnSockets(landlocked))
	for _, family := range []uint32{unix.AF_INET, unix.AF_INET6} {
		for _, kind := range []uint64{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
			rules = append(rules, seccomp.AllowIf(unix.SYS_SOCKET,
				seccomp.Equal32(0, family), seccomp.Arg{Index: 1, Mask: socketTypeMask, Value: kind}))
		}
	}
	// Of what it asks for beside these, package net does without.
	rules = append(rules, seccomp.Rule{Call: unix.SYS_SOCKET, Action: seccomp.Errno(unix.EAFNOSUPPORT)})
	return seccomp.Filter{Rules: rules, Default: seccomp.Kill}.InstallProcess()
}
