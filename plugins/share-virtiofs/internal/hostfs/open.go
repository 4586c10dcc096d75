//go:build linux

package hostfs

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// beneath keeps a resolution inside its directory.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// tries bounds how often a resolution is repeated that a rename elsewhere has disturbed.
const tries = 64

// Open opens a name below a directory. Nothing that is opened makes the caller wait, or becomes a terminal.
func Open(dir int, name string, flags int, mode uint32) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW), Resolve: beneath}
	if flags&unix.O_PATH == 0 {
		how.Flags |= unix.O_NONBLOCK | unix.O_NOCTTY
	}
	if flags&(unix.O_CREAT|unix.O_TMPFILE) != 0 {
		how.Mode = uint64(mode)
	}
	for n := 0; ; n++ {
		fd, err := unix.Openat2(dir, name, &how)
		if (err == unix.EINTR || err == unix.EAGAIN) && n < tries {
			continue
		}
		return fd, err
	}
}

// OpenPath returns a descriptor that stands for what the name means, a symbolic link included.
func OpenPath(dir int, name string) (int, error) { return Open(dir, name, unix.O_PATH, 0) }

// Reopen opens the inode that a descriptor of O_PATH stands for. It must be a regular file or a directory, since opening
// others has effects.
func Reopen(fd int, flags int) (int, error) {
	for {
		opened, err := unix.Open(procPath(fd), flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err == unix.EINTR {
			continue
		}
		return opened, err
	}
}

// procPath is the path of the inode behind a descriptor.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// Root opens what is shared: the only path that is walked, before any guest has said a word.
func Root(path string) (int, error) { return unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0) }
