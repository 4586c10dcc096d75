//go:build linux

package hostfs

import "golang.org/x/sys/unix"

// Stat is what statx(2) says of an inode.
type Stat = unix.Statx_t

const (
	wanted     = unix.STATX_BASIC_STATS | unix.STATX_BTIME
	noSurprise = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
)

// StatName looks at a name below a directory, without following it.
func StatName(dir int, name string, st *Stat) error {
	return unix.Statx(dir, name, noSurprise, wanted, st)
}

// StatFD looks at the inode of a descriptor.
func StatFD(fd int, st *Stat) error { return unix.Statx(fd, "", unix.AT_EMPTY_PATH, wanted, st) }

// Chmod sets the permissions of the inode behind a descriptor of O_PATH.
func Chmod(fd int, mode uint32) error { return unix.Chmod(procPath(fd), mode) }

// Utimes sets the times of the inode behind a descriptor of O_PATH.
func Utimes(fd int, times [2]unix.Timespec) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, procPath(fd), times[:], 0)
}

// Link gives the inode behind a descriptor of O_PATH a further name.
func Link(fd, dir int, name string) error {
	return unix.Linkat(unix.AT_FDCWD, procPath(fd), dir, name, unix.AT_SYMLINK_FOLLOW)
}

// Readlink reads a symbolic link below a directory; with an empty name the one that the descriptor stands for.
func Readlink(dir int, name string) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, b)
	return string(b[:max(n, 0)]), err
}
