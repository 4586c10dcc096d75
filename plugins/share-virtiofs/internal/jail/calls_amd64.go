//go:build linux

package jail

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/seccomp"
)

// fileCalls are made for the guest.
var fileCalls = []uintptr{
	unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_PREADV2, unix.SYS_STATX, unix.SYS_OPENAT2, unix.SYS_CLOSE, unix.SYS_FSTAT,
	unix.SYS_GETDENTS64, unix.SYS_LSEEK, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNCFS,
	unix.SYS_COPY_FILE_RANGE, unix.SYS_FSTATFS, unix.SYS_READLINKAT, unix.SYS_UTIMENSAT,
	unix.SYS_MKDIRAT, unix.SYS_SYMLINKAT, unix.SYS_LINKAT, unix.SYS_RENAMEAT2,
	unix.SYS_GETXATTR, unix.SYS_LGETXATTR, unix.SYS_LISTXATTR, unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_REMOVEXATTR,
	// An open descriptor is opened once more by its entry in /proc, which openat2 could not do beneath a directory. Landlock looks
	// at where that leads.
	unix.SYS_OPENAT,
}

// ownCalls are those of the link and of the plugin's own socket.
var ownCalls = []uintptr{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_RECVFROM, unix.SYS_SENDTO, unix.SYS_RECVMSG, unix.SYS_SENDMSG,
	unix.SYS_ACCEPT4, unix.SYS_SHUTDOWN, unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
	unix.SYS_EVENTFD2, unix.SYS_MEMFD_CREATE, unix.SYS_FCNTL,
	unix.SYS_TIMERFD_CREATE, unix.SYS_TIMERFD_SETTIME, // package poll
}

// specialBits are those that files of the host do not get for a guest's sake.
const specialBits = unix.S_ISUID | unix.S_ISGID | unix.S_ISVTX

func restrictCalls(bool) error {
	self := os.Getpid()
	rules := slices.Concat(
		seccomp.AllowAll(fileCalls...), // first, since the guest's requests pass here
		seccomp.AllowAll(ownCalls...),
		[]seccomp.Rule{seccomp.AllowIf(unix.SYS_FCHMODAT, seccomp.Without(2, specialBits))},
		seccomp.GoThread(self),
		seccomp.GoProcess(self),
		seccomp.OwnSockets(true),
	)
	return seccomp.Filter{Rules: rules, Default: seccomp.Kill}.InstallProcess()
}
