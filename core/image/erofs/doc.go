// Package erofs writes EROFS images: read-only file systems that Linux mounts from a block device without unpacking anything.
//
// # One pass
//
// The content of files goes to the image as it arrives, from several goroutines at once, each with an [Appender] of its own:
// an image of layers is written while its layers are unpacked. What belongs to which name is known only at the end, so the
// metadata comes last ([Writer.Finish]): inodes in the order of a walk, which keeps a directory near what is in it, then the
// directories that need blocks of their own. Content that turns out to be hidden, because a later layer replaced the file, is
// punched out again ([Writer.Discard]): it leaves a hole, which takes no room on the disk.
//
//	block 0   superblock, at 1024
//	1 ...     content of files, each from a block boundary on
//	m ...     inodes, with their extended attributes and what is small behind them (meta_blkaddr = m)
//	d ...     large directories
//
// # Why not compressed, why not go-erofs
//
// A guest reads these images through a block device backed by the host's page cache, which all VMs share. Compression would
// trade that for CPU time of each guest, emulated ones first of all. The library go-erofs writes images too, but gives each
// name an inode of its own, hard links included, and copies all content twice; it serves the tests as a reader that is not ours.
//
// The format is that of Linux Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h: extended inodes, flat plain and flat
// inline data, inline extended attributes, no optional feature but the superblock's checksum. Any kernel since 5.4 mounts it.
package erofs
