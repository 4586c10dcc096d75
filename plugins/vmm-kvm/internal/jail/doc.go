// Package jail takes away from the monitor what it does not need while a guest runs. A guest that escapes lands here, so this is
// what an escape is worth: one VM that the attacker has already, and the sockets of its devices.
//
// [Process] comes once everything is open, and holds for all threads, for good:
//
//   - nothing can be opened. Landlock leaves the directories of our own sockets, to be listed and removed, and the filter of
//     system calls closes the rest even where the kernel has no Landlock;
//   - nothing can be executed or traced, no process made, no signal sent to another one;
//   - the only new sockets are unix sockets, which the vsock device and the links need;
//   - ioctl takes KVM's requests of a running VM and no other;
//   - no capabilities, no new privileges, no core dump, no /proc/self for others of the same user, no environment.
//
// [VCPU] comes on each vCPU's thread, which runs what the guest controls most directly: it runs the guest, touches memory, and
// wakes other threads. It can open, connect, read and map nothing of a file.
//
// # Death, not an error
//
// A call that is not on the list ends the process (SECCOMP_RET_KILL_PROCESS). An error would be one more thing that an attacker
// may try as often as he likes; a dead monitor is a dead guest. The price is that the lists have to know the Go runtime: it may use
// other calls after an update of Go, and the tests of this package would die first. Each entry says what needs it; docs/security.md
// has the same lists with the reasons in words.
//
// # Threads
//
// Filters add up, and a thread inherits those of the thread that started it. The wide filter reaches every thread through
// SECCOMP_FILTER_FLAG_TSYNC, which wants that none has filters of its own: vCPU threads narrow themselves afterwards. They start
// no threads, since the Go runtime starts those that a locked thread wants from another one.
package jail
