package jail

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Grants are what a confined process keeps.
type Grants struct {
	// Dirs are the directories of its own sockets, which it may list and remove.
	Dirs []string
}

const cleanUp = landlock.AccessFSSet(unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR)

// Process confines every thread of this process, for good.
func Process(g Grants) error {
	if err := ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	_, err := ll.LandlockGetABIVersion()
	landlocked := err == nil
	// The filter comes first: psx lists the threads in /proc, which Landlock will hide.
	if err := loadFilter(processPolicy(landlocked)); err != nil {
		return err
	}
	if !landlocked {
		return nil
	}
	// Version 5 of the ABI, or what the kernel has of it. Later ones would forbid connecting to unix sockets by path, which
	// is what the vsock device does.
	err = landlock.V5.BestEffort().Restrict(landlock.PathAccess(cleanUp, g.Dirs...).IgnoreIfMissing())
	if err != nil {
		return fmt.Errorf("restrict files: %w", err)
	}
	return nil
}

// processPolicy lists what a Go program with a gRPC server on a unix socket, a vsock device and a child does.
func processPolicy(landlocked bool) seccomp.Policy {
	names := known(
		// reading and writing what is open
		"read", "write", "readv", "writev", "pread64", "preadv2", "close", "fcntl", "lseek", "dup", "dup3", "pipe2", "eventfd2",
		"fstat", "newfstatat", "statx",
		// sockets
		"sendto", "sendmsg", "recvfrom", "recvmsg", "accept4", "connect", "shutdown",
		"getsockopt", "setsockopt", "getsockname", "getpeername",
		"fstatfs", // whether the memory of a new link is what it should be
		"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "poll", "ppoll",
		// memory
		"munmap", "madvise", "mremap", "mincore", "brk",
		// threads, time and signals
		"futex", "nanosleep", "clock_nanosleep", "clock_gettime", "gettimeofday", "sched_yield", "sched_getaffinity",
		"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
		"getpid", "gettid", "getppid", "getpgrp", "getpgid", "getuid", "geteuid", "getgid", "getegid",
		"set_robust_list", "set_tid_address", "rseq", "getrandom", "uname", "exit", "exit_group",
		// the child: signals through its pidfd, and its end
		"pidfd_send_signal", "waitid", "wait4",
		// removal of our own sockets; Landlock says which
		"unlink", "unlinkat", "rmdir",
	)
	if landlocked {
		names = append(names, known("openat", "getdents64",
			// what follows is a further restriction
			"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")...)
	}
	names = append(names, known(psxCalls...)...)
	self := uint64(os.Getpid())
	return seccomp.Policy{
		DefaultAction: seccomp.ActionErrno,
		Syscalls: []seccomp.SyscallGroup{
			{Action: seccomp.ActionAllow, Names: names, NamesWithCondtions: []seccomp.NameWithConditions{
				when("socket", 0, seccomp.Equal, unix.AF_UNIX),
				when("mmap", 2, seccomp.BitsNotSet, unix.PROT_EXEC),
				when("mprotect", 2, seccomp.BitsNotSet, unix.PROT_EXEC),
				when("clone", 0, seccomp.BitsSet, unix.CLONE_THREAD),
				when("tgkill", 0, seccomp.Equal, self),
				when("kill", 0, seccomp.Equal, 0), // our own group, when the host is gone
				when("kill", 0, seccomp.Equal, self),
				when("prctl", 0, seccomp.Equal, unix.PR_SET_VMA),
				when("prctl", 0, seccomp.Equal, unix.PR_SET_NO_NEW_PRIVS),
				when("prlimit64", 2, seccomp.Equal, 0), // reading only
			}},
			// The C library falls back to clone, whose flags can be looked at.
			{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: known("clone3")},
		},
	}
}

func when(name string, argument uint32, op seccomp.Operation, value uint64) seccomp.NameWithConditions {
	return seccomp.NameWithConditions{Name: name, Conditions: seccomp.ArgumentConditions{{Argument: argument, Operation: op, Value: value}}}
}

// known drops the names that this architecture does not have.
func known(names ...string) []string {
	info, err := arch.GetInfo("")
	if err != nil {
		return names // assembling the policy will say why
	}
	var out []string
	for _, name := range names {
		if _, ok := info.SyscallNames[name]; ok {
			out = append(out, name)
		}
	}
	return out
}

// loadFilter installs a policy on each thread.
func loadFilter(policy seccomp.Policy) error {
	program, err := assemble(policy)
	if err != nil {
		return fmt.Errorf("assemble the filter: %w", err)
	}
	errno := installOnAllThreads(program)
	if errno != 0 {
		return fmt.Errorf("restrict system calls: %w", errno)
	}
	return nil
}

func assemble(policy seccomp.Policy) ([]syscall.SockFilter, error) {
	instructions, err := policy.Assemble()
	if err != nil {
		return nil, err
	}
	raw, err := bpf.Assemble(instructions)
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 || len(raw) > 4096 { // BPF_MAXINSNS
		return nil, errors.New("a filter has between 1 and 4096 instructions")
	}
	out := make([]syscall.SockFilter, 0, len(raw))
	for _, r := range raw {
		out = append(out, syscall.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K})
	}
	return out, nil
}
