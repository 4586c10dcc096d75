//go:build linux && amd64

package seccomp

import "golang.org/x/sys/unix"

// GoThread lists what the Go runtime calls on any thread. self is the process, to which alone signals may go.
func GoThread(self int) []Rule {
	return append(AllowAll(
		unix.SYS_FUTEX, unix.SYS_EPOLL_PWAIT, // sleep and wake; who starts the world again looks at the poller
		unix.SYS_MUNMAP, unix.SYS_MADVISE, // heap and stacks
		unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, // spinning
		unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, // where the vDSO has no clock to read
		unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, // preemption is a signal
		unix.SYS_RT_SIGACTION, unix.SYS_SIGALTSTACK, // a thread's end, and a crash
		unix.SYS_GETPID, unix.SYS_GETTID, // before a signal
		unix.SYS_RESTART_SYSCALL, // after one
		unix.SYS_WRITE,           // wake the poller; a crash report
		unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	),
		AllowIf(unix.SYS_MMAP, Without(2, unix.PROT_EXEC)),
		AllowIf(unix.SYS_PRCTL, Equal32(0, unix.PR_SET_VMA)), // names of mappings
		AllowIf(unix.SYS_TGKILL, Equal32(0, uint32(self))),
	)
}

// GoProcess lists what a Go program calls beside that to live, whatever it is for: threads, the poller, its own end.
func GoProcess(self int) []Rule {
	return append(AllowAll(
		unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, // the poller
		unix.SYS_SCHED_GETAFFINITY,              // the runtime follows the number of CPUs
		unix.SYS_PREAD64,                        // and the limit of its cgroup, whose file it has open
		unix.SYS_GETRANDOM,                      // seeds
		unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, // a new thread of a race-detector build
		unix.SYS_GETPPID, unix.SYS_GETPGRP, unix.SYS_GETPGID, unix.SYS_GETUID, unix.SYS_GETEUID, // who we are, when the host is gone
	),
		AllowIf(unix.SYS_MPROTECT, Without(2, unix.PROT_EXEC)),
		AllowIf(unix.SYS_CLONE, With(0, unix.CLONE_THREAD)),
		// The C library of a race-detector build falls back to clone, whose flags can be looked at.
		Rule{Call: unix.SYS_CLONE3, Action: Errno(unix.ENOSYS)},
		AllowIf(unix.SYS_KILL, Equal32(0, 0)), // our own group, when the host is gone
		AllowIf(unix.SYS_KILL, Equal32(0, uint32(self))),
		AllowIf(unix.SYS_PRLIMIT64, Equal(2, 0)), // reading only
	)
}

// OwnSockets lists what it takes to find and remove the sockets that a process has made. Landlock says which these are; without it
// nothing can be opened.
func OwnSockets(landlocked bool) []Rule {
	rules := AllowAll(unix.SYS_NEWFSTATAT, unix.SYS_UNLINK, unix.SYS_UNLINKAT, unix.SYS_RMDIR)
	if landlocked {
		return append(rules, AllowAll(unix.SYS_OPENAT, unix.SYS_GETDENTS64)...)
	}
	return append(rules, Rule{Call: unix.SYS_OPENAT, Action: Errno(unix.EACCES)})
}
