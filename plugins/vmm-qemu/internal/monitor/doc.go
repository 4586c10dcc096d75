// Package monitor is the vmm.VMM of this plugin: it starts one QEMU, steers it over QMP and tells what becomes of it.
//
// Create starts QEMU with its vCPUs stopped, agrees with it over QMP, and then confines this process; Start lets the vCPUs
// go. From then on one goroutine, supervise, waits for the end, whatever causes it, and is the only one that declares the VM
// stopped:
//
//	QEMU exits ─► QMP, console and vhost-user see the end of their sockets ─► sockets removed ─► last events ─► Stopped
//
// Why it ended is put together from three sources: what we asked for, the reason that QEMU gave over QMP, and the console,
// where a kernel says that it panicked. An end that none of them explains is an error, with the last of QEMU's stderr.
//
// # No QEMU outlives this process
//
// The kernel kills QEMU when the thread that started it ends (PR_SET_PDEATHSIG), however that happens. The thread is locked
// to a goroutine that waits for QEMU, so it ends with the process or after QEMU, and never before.
package monitor
