// Package block is the virtio block device (Virtio 1.2 section 5.2) on a raw file or a block device of the host, which its
// maker has opened: the device never opens anything.
//
// # How a request runs
//
// Each queue has a goroutine that takes requests from the ring, one after the other. It carries out what does not wait for the
// host's storage, which is most of it when the file is in the page cache, and hands the rest to workers. Both read and write the
// guest's buffers in place, with one preadv2 or pwritev2 for a request.
//
//	ring ─► queue goroutine ─ preadv2(RWF_NOWAIT) ─► done ───────────────┬─► ring
//	                              └ would wait ─► worker ─ preadv2 ─► done ─┘
//
// Flushes, discards and zeroes go to workers at once, as do writes that must be stable when they are answered. Other writes end
// in the page cache; they are tried with RWF_NOWAIT where the file system knows that for writes (XFS and Btrfs do, ext4 does not)
// and simply made where not: they wait only for a guest that has filled the host's share of dirty pages. Reads from a file
// system without RWF_NOWAIT (overlayfs, FUSE) go to workers, but for those that keep files in memory.
//
// A worker pushes what it has done itself, under the queue's lock, which saves the way back. What the queue's goroutine has
// done is published in batches. Requests that the device holds are bounded (depth a queue, Options.Workers in system calls);
// the others wait in the guest's ring.
//
// # Why not io_uring
//
// It was measured, on a virtual disk and 2 busy cores, in microseconds for 4 KiB at random:
//
//	                       plain preadv2   io_uring   this device   workers alone
//	page cache, depth 1    1.5             2.0        10            16
//	page cache, depth 32   1.5             1.3        2.0           3.1
//	cold, depth 1          65              60         100           130
//	cold, depth 32         65              17         15-23         35-40
//
// The first two columns are bare calls, the others a scripted guest and all of the device; at depth 1 that is two wake-ups between
// threads. io_uring saves a tenth of a microsecond where requests come in crowds. RWF_NOWAIT starts reading what it did not
// find, so a cold disk is kept as busy as by io_uring. And io_uring is a second way into the kernel, past the monitor's seccomp
// filter, switched off on many hosts. Where one emulated CPU does everything (the KVM lab; thousands of instructions):
//
//	                       plain preadv2   this device   workers alone
//	tmpfs, depth 1         7.1             28.5          30.6
//	tmpfs, depth 32        6.7             10.9          13.7
//
// Figures of today's machine: go test -bench Disk ./virtio/block.
//
// # What can go wrong
//
// Every failure of the storage (EIO, ENOSPC, a file that became shorter than the disk) is VIRTIO_BLK_S_IOERR for the request
// and no more. A request that breaks the rules gets the status that the specification has for it and touches nothing. A
// driver may cut requests into descriptors as it likes; the status is the last writable byte. A chain without one cannot be
// answered: it comes back unused, and nothing is done. A write past the end of a file that shrank makes the file grow again,
// as writes do.
//
// The system calls, for a monitor that confines itself: preadv2, pwritev2, pwrite64, fdatasync, fallocate; on New also fstat,
// fstatfs, fcntl and lseek. A process with RLIMIT_FSIZE must ignore SIGXFSZ, or writes past that limit end it instead of failing.
package block
