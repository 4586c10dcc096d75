package hostsock

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// ToItself tells whether a socket that was connected leads to this host: the kernel has then chosen the destination itself as its
// source. Unlike a list of the host's addresses it is never out of date.
func ToItself(fd int, to netip.Addr) bool {
	sa, err := unix.Getsockname(fd)
	return err == nil && AddrPort(sa).Addr() == to
}
