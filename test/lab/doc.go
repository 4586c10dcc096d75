// Package lab boots the KVM lab: a machine that QEMU emulates, AMD's virtualization included, so that /dev/kvm and
// /dev/vhost-vsock work in it where the host has neither.
package lab
