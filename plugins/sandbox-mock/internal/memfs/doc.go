// Package memfs is a file system in memory with the meaning of Linux: permissions, symbolic links, unlinked files that stay
// open, rename that replaces. It never touches the host.
//
// Its errors are *fs.PathError around Linux errors, such as syscall.ENOENT. Its total size and number of nodes are bounded,
// since what fills it is a hostile program: past the bounds it says ENOSPC.
package memfs
