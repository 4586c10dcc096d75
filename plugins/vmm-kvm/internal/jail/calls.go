package jail

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/seccomp"
)

// runtimeCalls are what the Go runtime makes on any thread of ours.
var runtimeCalls = []uintptr{
	unix.SYS_FUTEX,                    // sleep and wake
	unix.SYS_MUNMAP, unix.SYS_MADVISE, // heap and stacks; the balloon too
	unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, // spinning
	unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, // where the vDSO has no clock to read
	unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, // preemption and kicks are signals
	unix.SYS_RT_SIGACTION, unix.SYS_SIGALTSTACK, // a thread's end, and a crash
	unix.SYS_GETPID, unix.SYS_GETTID, // before a signal
	unix.SYS_RESTART_SYSCALL, // after one
	unix.SYS_WRITE,           // wake the poller; interrupts; a crash report
	unix.SYS_EPOLL_PWAIT,     // who starts the world again looks at the poller
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}

// fileCalls work on what is open.
var fileCalls = []uintptr{
	unix.SYS_READ, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_CLOSE, unix.SYS_FSTAT, unix.SYS_FCNTL, unix.SYS_LSEEK,

	// disks: requests, flush, discard, write zeroes
	unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_PREADV, unix.SYS_PWRITEV, unix.SYS_PREADV2, unix.SYS_PWRITEV2,
	unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FALLOCATE,

	// vsock's host side, links, gRPC: unix sockets, and events that wake a peer
	unix.SYS_CONNECT, unix.SYS_ACCEPT4, unix.SYS_SHUTDOWN, unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_RECVFROM, unix.SYS_RECVMSG,
	unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_EVENTFD2,
	unix.SYS_FSTATFS,              // whether a link's memory is what it should be
	unix.SYS_POLL, unix.SYS_PPOLL, // whether a socket has something to say

	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, // the poller
	unix.SYS_NEWFSTATAT, unix.SYS_UNLINK, unix.SYS_UNLINKAT, unix.SYS_RMDIR, // removal of our own sockets; Landlock says which
	unix.SYS_SCHED_GETAFFINITY,                                                              // the runtime follows the number of CPUs
	unix.SYS_GETRANDOM,                                                                      // seeds
	unix.SYS_GETPPID, unix.SYS_GETPGRP, unix.SYS_GETPGID, unix.SYS_GETUID, unix.SYS_GETEUID, // who we are, when the host is gone
	unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, // a new thread of a race-detector build
}

// memoryRules allow memory that cannot be executed.
func memoryRules() []seccomp.Rule {
	return []seccomp.Rule{
		seccomp.AllowIf(unix.SYS_MMAP, seccomp.Without(2, unix.PROT_EXEC)),
		seccomp.AllowIf(unix.SYS_PRCTL, seccomp.Equal32(0, unix.PR_SET_VMA)), // names of mappings
	}
}

// signalRules allow signals to our own threads.
func signalRules(self int) []seccomp.Rule {
	return []seccomp.Rule{seccomp.AllowIf(unix.SYS_TGKILL, seccomp.Equal32(0, uint32(self)))}
}

// processFilter is the wide one, of every thread.
func processFilter(landlocked bool, g Grants) seccomp.Filter {
	self := os.Getpid()
	rules := slices.Concat(
		seccomp.AllowRequests(g.Requests...), // first, since the guest's every exit passes here
		seccomp.AllowAll(runtimeCalls...),
		seccomp.AllowAll(fileCalls...),
		memoryRules(),
		signalRules(self),
		[]seccomp.Rule{
			seccomp.AllowIf(unix.SYS_SOCKET, seccomp.Equal32(0, unix.AF_UNIX)),
			seccomp.AllowIf(unix.SYS_MPROTECT, seccomp.Without(2, unix.PROT_EXEC)),
			seccomp.AllowIf(unix.SYS_CLONE, seccomp.With(0, unix.CLONE_THREAD)),
			// The C library of a race-detector build falls back to clone, whose flags can be looked at.
			{Call: unix.SYS_CLONE3, Action: seccomp.Errno(unix.ENOSYS)},
			seccomp.AllowIf(unix.SYS_KILL, seccomp.Equal32(0, 0)), // our own group, when the host is gone
			seccomp.AllowIf(unix.SYS_KILL, seccomp.Equal32(0, uint32(self))),
			seccomp.AllowIf(unix.SYS_PRLIMIT64, seccomp.Equal(2, 0)), // reading only
			// The narrow filter of a vCPU.
			seccomp.AllowIf(unix.SYS_SECCOMP, seccomp.Equal32(0, unix.SECCOMP_SET_MODE_FILTER), seccomp.Equal32(1, 0)),
		},
	)
	for _, family := range g.Sockets {
		rules = append(rules, seccomp.AllowIf(unix.SYS_SOCKET, seccomp.Equal32(0, family)))
	}
	if landlocked {
		// Directories of our own sockets, nothing else.
		rules = append(rules, seccomp.AllowAll(unix.SYS_OPENAT, unix.SYS_GETDENTS64)...)
	} else {
		rules = append(rules, seccomp.Rule{Call: unix.SYS_OPENAT, Action: seccomp.Errno(unix.EACCES)})
	}
	return seccomp.Filter{Rules: rules, Default: seccomp.Kill}
}

// vcpuFilter is the narrow one.
func vcpuFilter(requests []uint32) seccomp.Filter {
	return seccomp.Filter{
		Rules: slices.Concat(
			seccomp.AllowRequests(requests...),
			seccomp.AllowAll(runtimeCalls...),
			memoryRules(),
			signalRules(os.Getpid()),
		),
		Default: seccomp.Kill,
	}
}
