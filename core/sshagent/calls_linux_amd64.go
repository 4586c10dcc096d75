package sshagent

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/seccomp"
)

// calls are what it takes to accept connections and to talk on them.
var calls = []uintptr{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_ACCEPT4, unix.SYS_SHUTDOWN,
	unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_FCNTL, unix.SYS_UNAME,
}

func restrictCalls(connects bool) error {
	self := os.Getpid()
	rules := slices.Concat(seccomp.AllowAll(calls...), seccomp.GoThread(self), seccomp.GoProcess(self))
	if connects {
		const socketTypeMask = 0xf // takes the flags off (include/linux/net.h)
		rules = append(rules, seccomp.AllowIf(unix.SYS_CONNECT), seccomp.AllowIf(unix.SYS_SOCKET,
			seccomp.Equal32(0, unix.AF_UNIX), seccomp.Arg{Index: 1, Mask: socketTypeMask, Value: unix.SOCK_STREAM}))
	}
	// A runtime that looks for a file, as for the time zone, does without.
	rules = append(rules, seccomp.Rule{Call: unix.SYS_OPENAT, Action: seccomp.Errno(unix.EACCES)})
	return seccomp.Filter{Rules: rules, Default: seccomp.Kill}.InstallProcess()
}
