// Package qemu finds the QEMU program of this machine and what it can execute a guest with.
package qemu
