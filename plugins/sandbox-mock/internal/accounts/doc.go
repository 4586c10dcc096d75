// Package accounts reads the users and groups of a machine from its own /etc/passwd and /etc/group, never from the host's.
//
// Both files belong to the machine, whose root may have written anything into them: what is read of them is bounded, and lines
// that make no sense are passed over, as libc does.
package accounts
