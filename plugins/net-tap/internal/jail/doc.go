// Package jail takes away from the plugin what it does not need once its device is open. Nothing here parses what a guest sends, but
// the offload header; what is left to whoever breaks that is the guest's own cable and nothing else:
//
//   - no capabilities and no new privileges: CAP_NET_ADMIN is needed to make the device, not to use it;
//   - no file, but the directory of our own socket, to be listed and emptied;
//   - no socket of any kind, no process, nothing executed, no signal to another process.
//
// A call that is not on the list ends the process (SECCOMP_RET_KILL_PROCESS). Its device goes with it.
package jail
