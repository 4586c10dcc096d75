//go:build linux

package jail

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/seccomp"
)

// fileCalls are the guest's.
var fileCalls = []uintptr{
	unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_PREADV2, unix.SYS_STATX, unix.SYS_OPENAT2, unix.SYS_CLOSE, unix.SYS_FSTAT,
	unix.SYS_GETDENTS64, unix.SYS_LSEEK, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNCFS,
	unix.SYS_COPY_FILE_RANGE, unix.SYS_FSTATFS, unix.SYS_READLINKAT, unix.SYS_UTIMENSAT,
	unix.SYS_MKDIRAT, unix.SYS_SYMLINKAT, unix.SYS_LINKAT, unix.SYS_RENAMEAT2, unix.SYS_UNLINKAT,
	unix.SYS_GETXATTR, unix.SYS_LGETXATTR, unix.SYS_LISTXATTR, unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_REMOVEXATTR,
}

// ownCalls are those of the link and of the plugin's own socket.
var ownCalls = []uintptr{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_RECVFROM, unix.SYS_SENDTO, unix.SYS_RECVMSG, unix.SYS_SENDMSG,
	unix.SYS_ACCEPT4, unix.SYS_SHUTDOWN, unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EVENTFD2, unix.SYS_MEMFD_CREATE, unix.SYS_FCNTL,
	unix.SYS_NEWFSTATAT, unix.SYS_UNLINK, unix.SYS_RMDIR, // removal of our own sockets; Landlock says which
	unix.SYS_GETPPID, unix.SYS_GETPGRP, unix.SYS_GETPGID, unix.SYS_GETUID, unix.SYS_GETEUID, // who we are, when the host is gone
}

// runtimeCalls are what the Go runtime makes on any thread.
var runtimeCalls = []uintptr{
	unix.SYS_FUTEX, unix.SYS_EPOLL_PWAIT, // sleep and wake; the poller
	unix.SYS_MUNMAP, unix.SYS_MADVISE, // heap and stacks
	unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, // spinning
	unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, // where the vDSO has no clock to read
	unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, // preemption is a signal
	unix.SYS_RT_SIGACTION, unix.SYS_SIGALTSTACK, // a thread's end, and a crash
	unix.SYS_GETPID, unix.SYS_GETTID, // before a signal
	unix.SYS_RESTART_SYSCALL,                // after one
	unix.SYS_SCHED_GETAFFINITY,              // the runtime follows the number of CPUs
	unix.SYS_GETRANDOM,                      // seeds
	unix.SYS_UNAME,                          // package net asks once what the kernel can do
	unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, // a new thread of a race-detector build
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}

// modeMask are the bits of a mode that files of the host do not get for a guest's sake.
const modeMask = unix.S_ISUID | unix.S_ISGID | unix.S_ISVTX

func restrictCalls() error {
	self := os.Getpid()
	rules := slices.Concat(
		seccomp.AllowAll(fileCalls...), // first, since the guest's requests pass here
		seccomp.AllowAll(ownCalls...),
		seccomp.AllowAll(runtimeCalls...),
		[]seccomp.Rule{
			// An open descriptor is opened once more by its entry in /proc, which openat2 could not do beneath a directory; the
			// runtime opens files of its own this way, too. Landlock looks at what that leads to.
			{Call: unix.SYS_OPENAT, Action: seccomp.Allow},
			seccomp.AllowIf(unix.SYS_FCHMODAT, seccomp.Without(2, modeMask)),
			seccomp.AllowIf(unix.SYS_MMAP, seccomp.Without(2, unix.PROT_EXEC)),
			seccomp.AllowIf(unix.SYS_MPROTECT, seccomp.Without(2, unix.PROT_EXEC)),
			seccomp.AllowIf(unix.SYS_PRCTL, seccomp.Equal32(0, unix.PR_SET_VMA)), // names of mappings
			seccomp.AllowIf(unix.SYS_CLONE, seccomp.With(0, unix.CLONE_THREAD)),
			// The C library of a race-detector build falls back to clone, whose flags can be looked at.
			{Call: unix.SYS_CLONE3, Action: seccomp.Errno(unix.ENOSYS)},
			seccomp.AllowIf(unix.SYS_TGKILL, seccomp.Equal32(0, uint32(self))),
			seccomp.AllowIf(unix.SYS_KILL, seccomp.Equal32(0, 0)), // our own group, when the host is gone
			seccomp.AllowIf(unix.SYS_KILL, seccomp.Equal32(0, uint32(self))),
			seccomp.AllowIf(unix.SYS_PRLIMIT64, seccomp.Equal(2, 0)), // reading only
		},
	)
	return seccomp.Filter{Rules: rules, Default: seccomp.Kill}.InstallProcess()
}
