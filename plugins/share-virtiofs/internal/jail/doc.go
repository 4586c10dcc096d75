// Package jail takes away from the plugin what it does not need once its mounts are open. A guest that breaks the file system lands
// here, and gets what is shared with it anyway:
//
//   - files are below the mounts, or nowhere. Landlock grants what is read and what is written, each mount by the descriptor that was
//     opened, and nothing else but the directory of the plugin's own socket, to be removed;
//   - nothing can be executed or traced, no process made, no signal sent to another one, no socket made or connected;
//   - no device, no set-user-ID bit, no other owner: the calls that would make them are not there;
//   - no capabilities, no new privileges, no core dump, no /proc/self for others of the same user, no environment.
//
// A call that is not on the list ends the process (SECCOMP_RET_KILL_PROCESS): the guest sees EIO, and the run says why. The host
// clones a user, a network and an IPC namespace for the process where it may.
//
// Where the kernel has no Landlock, descriptors and openat2(2) with RESOLVE_BENEATH are what keeps the file system within its
// mounts; a broken process could then open what its user may.
package jail
