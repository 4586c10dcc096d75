// Package jail takes away from QEMU, and then from the plugin itself, what they do not need while a guest runs.
//
// A guest that escapes lands in QEMU first. QEMU's own seccomp filter (-sandbox) is on, and [Thread] adds what it lacks,
// before QEMU is executed: a Landlock domain in which it sees its program, its firmware, the kernel and the disks, and a
// filter by which it can make no socket that leaves this machine, nor connect one to anybody but us.
//
// Behind QEMU is the plugin, whose device models parse the guest's bytes. [Process] confines it once QEMU runs and
// everything is open: no file may be opened and no program started, and the only new sockets are unix sockets, which the
// vsock device needs. What stays are the directories of its own sockets, so that it can remove them.
//
// Both last until the process ends. Landlock is used as far as the kernel has it; without it, files are closed to the plugin
// by the filter alone. Seccomp is demanded.
//
// # Threads
//
// no_new_privs, Landlock domains and seccomp filters belong to a thread. QEMU is started by a locked thread with a filter of
// its own, so SECCOMP_FILTER_FLAG_TSYNC, which wants threads with the same ancestry, is no option; the filter is installed on
// each thread by psx, as go-landlock does for its part.
package jail
