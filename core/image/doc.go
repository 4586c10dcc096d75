// Package image turns names into files that a virtual machine can boot: a kernel, the modules that it needs, and an
// initramfs with the guest agent in it.
//
// # The cache
//
// Everything it makes or fetches lands in a [Cache], a directory outside any source tree. An entry is a directory
// named by what went into it, so an entry is never wrong and never changes; it is built under another name, synced
// and renamed, so it is whole or absent. A lock per entry lets any number of processes build at once: one works, the
// others wait and use what it made. The kernel drops a lock with its holder, so a crash blocks nobody, and the next
// builder removes what the dead one left.
//
// # Kernels
//
// [Cache.Kernel] looks in this order and takes the first it finds: the file that the user names; the user's own build
// (`make kernel`); Debian's cloud kernel, fetched as a package without root and without touching the system; the
// host's kernel with its modules. A kernel file is checked against its own header before anything boots it.
//
// A small monolithic kernel needs no modules. For the others, modules.dep says which files a device driver needs and
// in which order they load; the initramfs gets just those, unpacked, and a list of them at [ModulesListPath].
//
// # The initramfs
//
// It is made of segments, each a complete newc archive, which the kernel unpacks one after the other:
//
//   - The base segment ([Cache.Initramfs]) is the same for every VM with one kernel and one agent, and is cached. With
//     [Base] it is a small system of its own: agent, busybox, bash, the sandbox user. With [Minimal] it holds the agent
//     and modules only, for a VM whose root file system is a disk, which the agent mounts.
//   - The boot segment ([BootSegment]) is made in memory for each VM. It holds the boot configuration, secrets and all,
//     in one file that only root may read ([BootConfigPath]).
//
// Archives are deterministic: the same input gives the same bytes. A segment ends on a 512-byte boundary, so segments
// may simply be appended to each other.
package image
