// Package shim keeps named sandboxes: those that outlive the command that made them.
//
// # Who holds a sandbox
//
// A sandbox is held by a process of its own, the shim, as containerd calls it: the voidbox binary again, in a session of its own, with no
// terminal. It owns the plugins below the sandbox and serves the sandbox contract on a private unix socket. Commands are clients of
// that socket; none of them is needed for the sandbox to live, and their crash means nothing to it. The crash of the shim means the
// end of the sandbox: its plugins watch lifelines whose other ends only the shim holds, so they go, and the machine with them.
//
// # What is on disk
//
// Each sandbox has a directory in the [Store], and in it
//
//	definition.json  what it is made of; written once
//	instance.json    what became of it: state, socket, token, main process; written by the shim
//	lock             held (flock) by the shim for life
//	output, console  the end of what the main process, and the VM's console, wrote
//	log              what the shim had to say
//
// Both documents bear a version; a voidbox that does not know it leaves the sandbox alone and says so.
//
// The lock is the truth about who lives. The command that makes or starts a sandbox takes it, and the shim inherits the open file: at no
// moment is it free while somebody works on the sandbox, and the kernel frees it whatever way the last of them ends. Where
// instance.json speaks of a running sandbox and the lock is free, the shim was killed: whoever finds that out tidies up, and the sandbox
// counts as dead, to be started again or removed.
//
// # Secrets
//
// A definition that comes from a file names the file, which is read again at each start: no secret is kept. What is given by flags is
// kept as it was given, but for variables that are named without a value: they are taken from the environment of each start. Directories are 0700 and files 0600; the socket takes its peer's word only for calls that bring the token, and only
// from the same user.
package shim
