// Package sandbox makes sandboxes, and hides what they are made of: a VM with the guest agent in it, or a sandbox plugin. The
// result is one type, [Sandbox], which is a sandbox.Sandbox of the contract.
//
// It starts no plugin: core/run does, and hands over the clients.
//
// # Booting a VM
//
// [NewVM] resolves kernel and initramfs, adds a segment with the boot configuration and a fresh token, lets the monitor create
// and start the VM, and waits. What it waits for comes from three places at once:
//
//   - announcements, in which the agent names each stage that it enters (package boot);
//   - the console, where a kernel complains before there is an agent, or when there will never be one;
//   - the monitor's events, which tell of a reset, a power-off, a panic or a dead hypervisor.
//
// None of them makes a sandbox ready: any program in the guest can announce, and print. Ready is a call that the agent has
// answered with our token in it.
//
// # Patience
//
// How long a boot takes depends on the machine, so the limit is on silence, not on time: each new stage and each new output
// on the console starts it anew. Since a guest can print for ever, there is a limit on the whole as well.
//
// # Afterwards
//
// A boot that fails is a [BootError]: the reason, the stage that was reached, and the last lines of the console. Whether it
// failed or not, what NewVM made is gone after it failed, or after [Sandbox.Close]: VM, sockets, goroutines.
package sandbox
