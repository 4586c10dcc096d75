// Package ext4 formats a sparse file as an empty ext4 file system, for what a VM writes and nobody keeps.
//
// It has no journal, since nobody mounts it twice, and nothing else that only a disk with a future needs. What it writes are a few
// blocks for every 128 MiB, so that a disk of a terabyte is made at once and takes no room. No program of the host is needed: not
// every host has mke2fs.
//
// The layout is that of Linux Documentation/filesystems/ext4: 4 KiB blocks, groups of 32768 of them, each with its bitmaps and its
// table of inodes at its beginning, backups of the superblock in groups 1 and the powers of 3, 5 and 7.
package ext4
