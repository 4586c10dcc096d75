package jail

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/seccomp"
)

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
}

// processFilter is the wide one, of every thread.
func processFilter(landlocked bool, g Grants) seccomp.Filter {
	self := os.Getpid()
	rules := slices.Concat(
		seccomp.AllowRequests(g.Requests...), // first, since the guest's every exit passes here
		seccomp.GoThread(self),
		seccomp.AllowAll(fileCalls...),
		seccomp.GoProcess(self),
		seccomp.OwnSockets(landlocked),
		[]seccomp.Rule{
			seccomp.AllowIf(unix.SYS_SOCKET, seccomp.Equal32(0, unix.AF_UNIX)),
			// The narrow filter of a vCPU.
			seccomp.AllowIf(unix.SYS_SECCOMP, seccomp.Equal32(0, unix.SECCOMP_SET_MODE_FILTER), seccomp.Equal32(1, 0)),
		},
	)
	for _, family := range g.Sockets {
		rules = append(rules, seccomp.AllowIf(unix.SYS_SOCKET, seccomp.Equal32(0, family)))
	}
	return seccomp.Filter{Rules: rules, Default: seccomp.Kill}
}

// vcpuFilter is the narrow one. Of a guest's exits it needs KVM's requests and writes to eventfds, and of all else what the runtime does
// on any thread.
func vcpuFilter(requests []uint32) seccomp.Filter {
	return seccomp.Filter{
		Rules:   slices.Concat(seccomp.AllowRequests(requests...), seccomp.GoThread(os.Getpid())),
		Default: seccomp.Kill,
	}
}
