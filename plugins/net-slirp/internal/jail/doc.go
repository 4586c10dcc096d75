// Package jail takes away from the plugin what it does not need once its guest is attached. A guest that breaks netstack lands here,
// so this is what that is worth: sockets to what the host can reach, past the policy of this guest, and nothing else.
//
//   - nothing can be opened. Landlock leaves the directories of our own sockets, to be listed and removed, and the filter of
//     system calls closes the rest even where the kernel has no Landlock;
//   - nothing can be executed or traced, no process made, no signal sent to another one;
//   - sockets are of TCP, UDP, unprivileged ping and unix streams. No raw, packet, netlink or vsock socket, which would reach further
//     than a guest's programs do;
//   - no capabilities, no new privileges, no core dump, no /proc/self for others of the same user, no environment;
//   - descriptors are bounded, so that a guest cannot use up the host's.
//
// A call that is not on the list ends the process (SECCOMP_RET_KILL_PROCESS): the guest loses its network and the run says why. The
// host clones a user and a mount namespace for the process where it may. (In a PID namespace the Go runtime never ends a call that is to be made
// on all threads, as this package does.)
//
// What the plugin reads of the host comes before: the interfaces' addresses, and the resolver's files by descriptors that stay open.
package jail
