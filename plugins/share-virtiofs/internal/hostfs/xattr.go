//go:build linux

package hostfs

import "golang.org/x/sys/unix"

// GetxattrName reads an extended attribute of a name below a directory, without following it.
func GetxattrName(dir int, name, attr string, value []byte) (int, error) {
	return unix.Lgetxattr(procPath(dir)+"/"+name, attr, value)
}

// Getxattr reads one of the inode behind a descriptor.
func Getxattr(fd int, attr string, value []byte) (int, error) {
	return unix.Getxattr(procPath(fd), attr, value)
}

// Setxattr sets one.
func Setxattr(fd int, attr string, value []byte, flags int) error {
	return unix.Setxattr(procPath(fd), attr, value, flags)
}

// Removexattr removes one.
func Removexattr(fd int, attr string) error { return unix.Removexattr(procPath(fd), attr) }

// Listxattr lists their names, each with a zero byte behind it.
func Listxattr(fd int) ([]byte, error) {
	for size := 1024; ; size *= 2 {
		b := make([]byte, size)
		n, err := unix.Listxattr(procPath(fd), b)
		if err == unix.ERANGE && size < 1<<20 {
			continue
		}
		return b[:max(n, 0)], err
	}
}

// SetxattrName sets an extended attribute of a name below a directory, without following it.
func SetxattrName(dir int, name, attr string, value []byte) error {
	return unix.Lsetxattr(procPath(dir)+"/"+name, attr, value, 0)
}
