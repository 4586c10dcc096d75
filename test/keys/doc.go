// Package keys holds the SSH agent against its promise where it counts: in a VM, whose guest runs the git and ssh that people use,
// towards OpenSSH's own server on the host.
package keys
