// Package kvm binds the part of Linux's KVM interface that a monitor of x86-64 guests needs. It decides nothing: names, structures
// and numbers are those of Documentation/virt/kvm/api.rst, which is the reference for every method here, and abi_test.go holds
// them against the kernel's own header.
//
// Three kinds of file descriptor, each a type of its own:
//
//	System  /dev/kvm: what this host can do, and new VMs
//	VM      one VM: memory slots, interrupt controllers, clock, eventfds
//	VCPU    one vCPU: registers and KVM_RUN
//
// A VCPU shares a page with the kernel, [RunPage]: an exit is told through it. Its accessors copy what they read, since a page
// that the kernel writes is no place for pointers of ours.
//
// All ioctls but KVM_RUN are repeated when a signal interrupts them. Errors name the ioctl and wrap the errno.
package kvm
