//go:build linux

package jail

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/seccomp"
)

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
	unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, // a new thread of a race-detector build
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}

// fileCalls work on what is open: queues, links, the host's connection.
var fileCalls = []uintptr{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_RECVMSG, unix.SYS_SENDMSG,
	unix.SYS_ACCEPT4, unix.SYS_SHUTDOWN, unix.SYS_CLOSE,
	unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EVENTFD2, unix.SYS_PREADV2, // the poller, and links
	unix.SYS_TIMERFD_CREATE, unix.SYS_TIMERFD_SETTIME, // package poll
	unix.SYS_MEMFD_CREATE, unix.SYS_FTRUNCATE, unix.SYS_FCNTL, unix.SYS_FSTAT, // the memory of a new link
	unix.SYS_NEWFSTATAT, unix.SYS_UNLINK, unix.SYS_UNLINKAT, unix.SYS_RMDIR, // removal of our own sockets; Landlock says which
	unix.SYS_GETPPID, unix.SYS_GETPGRP, unix.SYS_GETPGID, unix.SYS_GETUID, unix.SYS_GETEUID, // who we are, when the host is gone
}

func restrictCalls(landlocked bool) error {
	self := uint32(os.Getpid())
	rules := slices.Concat(
		seccomp.AllowAll(fileCalls...),
		seccomp.AllowAll(runtimeCalls...),
		seccomp.AllowRequests(unix.TUNSETOFFLOAD, unix.TUNSETCARRIER, unix.TUNGETIFF),
		[]seccomp.Rule{
			seccomp.AllowIf(unix.SYS_MMAP, seccomp.Without(2, unix.PROT_EXEC)),
			seccomp.AllowIf(unix.SYS_MPROTECT, seccomp.Without(2, unix.PROT_EXEC)),
			seccomp.AllowIf(unix.SYS_PRCTL, seccomp.Equal32(0, unix.PR_SET_VMA)), // names of mappings
			seccomp.AllowIf(unix.SYS_CLONE, seccomp.With(0, unix.CLONE_THREAD)),
			// The C library of a race-detector build falls back to clone, whose flags can be looked at.
			{Call: unix.SYS_CLONE3, Action: seccomp.Errno(unix.ENOSYS)},
			seccomp.AllowIf(unix.SYS_TGKILL, seccomp.Equal32(0, self)),
			seccomp.AllowIf(unix.SYS_KILL, seccomp.Equal32(0, 0)), // our own group, when the host is gone
			seccomp.AllowIf(unix.SYS_KILL, seccomp.Equal32(0, self)),
			seccomp.AllowIf(unix.SYS_PRLIMIT64, seccomp.Equal(2, 0)), // reading only
		},
	)
	if landlocked {
		rules = append(rules, seccomp.AllowAll(unix.SYS_OPENAT, unix.SYS_GETDENTS64)...)
	} else {
		rules = append(rules, seccomp.Rule{Call: unix.SYS_OPENAT, Action: seccomp.Errno(unix.EACCES)})
	}
	return seccomp.Filter{Rules: rules, Default: seccomp.Kill}.InstallProcess()
}
