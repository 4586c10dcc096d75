package hostsock

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// DialTCP begins to connect. The descriptor becomes writable when that has ended, and Error says how.
func DialTCP(to netip.AddrPort) (fd int, err error) {
	fd, err = open(to.Addr(), unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	setOption(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	keepAlive(fd)
	return fd, connect(fd, sockaddr(to))
}

// DialUnix connects to a stream socket of the host's file system.
func DialUnix(path string) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	return fd, connect(fd, &unix.SockaddrUnix{Name: path})
}

// DialUDP makes a socket that exchanges datagrams with one peer, whose refusals it learns of.
func DialUDP(to netip.AddrPort) (fd int, err error) {
	fd, err = open(to.Addr(), unix.SOCK_DGRAM, 0)
	if err != nil {
		return -1, err
	}
	largeBuffers(fd)
	wantErrors(fd, to.Addr().Is6())
	return fd, connect(fd, sockaddr(to))
}

// DialPing makes an unprivileged ICMP echo socket (ping(8) without root, Linux's ping_group_range) for one peer.
func DialPing(to netip.Addr) (fd int, err error) {
	proto := unix.IPPROTO_ICMP
	if to.Is6() {
		proto = unix.IPPROTO_ICMPV6
	}
	fd, err = open(to, unix.SOCK_DGRAM, proto)
	if err != nil {
		return -1, err
	}
	wantErrors(fd, to.Is6())
	return fd, connect(fd, sockaddr(netip.AddrPortFrom(to, 0)))
}

// ListenTCP makes a listening socket and returns where it listens.
func ListenTCP(at netip.AddrPort, backlog int) (fd int, local netip.AddrPort, err error) {
	fd, err = open(at.Addr(), unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, local, err
	}
	setOption(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err = unix.Bind(fd, sockaddr(at)); err == nil {
		err = unix.Listen(fd, backlog)
	}
	return bound(fd, err)
}

// ListenUDP makes a socket that takes datagrams from anybody.
func ListenUDP(at netip.AddrPort) (fd int, local netip.AddrPort, err error) {
	fd, err = open(at.Addr(), unix.SOCK_DGRAM, 0)
	if err != nil {
		return -1, local, err
	}
	largeBuffers(fd)
	return bound(fd, unix.Bind(fd, sockaddr(at)))
}

// Accept takes a connection of a listening socket.
func Accept(listener int) (fd int, from netip.AddrPort, err error) {
	fd, sa, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return -1, from, err
	}
	setOption(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	keepAlive(fd)
	return fd, AddrPort(sa), nil
}

// Error returns and clears what has gone wrong on a socket.
func Error(fd int) error {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}

// Reset closes a connection with a reset in place of an orderly end.
func Reset(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.Close(fd)
}

// Exhausted tells whether an error means that this process, or the host, has no descriptor or port left.
func Exhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) ||
		errors.Is(err, unix.EADDRNOTAVAIL)
}

// AddrPort returns the address of an IP socket, the zero one for others.
func AddrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// Sockaddr returns an address as system calls take it.
func Sockaddr(a netip.AddrPort) unix.Sockaddr { return sockaddr(a) }

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func open(a netip.Addr, kind, proto int) (int, error) {
	family := unix.AF_INET6
	if a.Is4() {
		family = unix.AF_INET
	}
	return unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
}

// connect closes fd if the attempt has failed already.
func connect(fd int, sa unix.Sockaddr) error {
	err := unix.Connect(fd, sa)
	if err == nil || errors.Is(err, unix.EINPROGRESS) {
		return nil
	}
	_ = unix.Close(fd)
	return err
}

func bound(fd int, err error) (int, netip.AddrPort, error) {
	if err == nil {
		var sa unix.Sockaddr
		if sa, err = unix.Getsockname(fd); err == nil {
			return fd, AddrPort(sa), nil
		}
	}
	_ = unix.Close(fd)
	return -1, netip.AddrPort{}, fmt.Errorf("listen: %w", err)
}

// Keepalive probes find out that a silent peer has gone.
const (
	KeepAliveIdle     = 5 * time.Minute
	KeepAliveInterval = 30 * time.Second
	KeepAliveCount    = 6
)

func keepAlive(fd int) {
	setOption(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	setOption(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(KeepAliveIdle/time.Second))
	setOption(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(KeepAliveInterval/time.Second))
	setOption(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, KeepAliveCount)
}

// largeBuffers makes room for a few datagrams of the greatest size. The kernel cuts it to what it allows.
func largeBuffers(fd int) {
	const room = 256 << 10
	setOption(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room)
	setOption(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, room)
}

// setOption is for options without which things work too.
func setOption(fd, level, name, value int) { _ = unix.SetsockoptInt(fd, level, name, value) }

// PathMTU returns the greatest packet that gets to a connected socket's peer whole, as far as the host knows.
func PathMTU(fd int, v6 bool) uint32 {
	level, option := unix.IPPROTO_IP, unix.IP_MTU
	if v6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_MTU
	}
	mtu, err := unix.GetsockoptInt(fd, level, option)
	if err != nil || mtu < 0 {
		return 0
	}
	return uint32(mtu)
}
