// Package hostfs is what a share asks of the host's kernel: calls on a descriptor, or on one name below the descriptor of a
// directory. No path is ever walked.
//
//   - A name is one component. Opening it follows no symbolic link and never leaves its directory (openat2(2) with
//     RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS), whoever changes the tree meanwhile.
//   - A descriptor of O_PATH stands for an inode. What the kernel offers for paths only, such as extended attributes, reaches
//     the inode by its entry in /proc/self/fd, which leads to the file itself and nowhere else.
package hostfs
