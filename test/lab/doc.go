// Package lab boots the KVM lab: a machine that QEMU emulates, AMD's virtualization included, so that /dev/kvm and
// /dev/vhost-vsock work in it where the host has neither. Virtual machines that a test starts there are real ones, one
// floor down: slow, but with every exit, interrupt and page fault that hardware would give.
//
//	host            go test ./plugins/vmm-kvm/internal/vcpu
//	  │               │  skips and notes what needs KVM, then boots
//	  └ QEMU (TCG)    ▼  an x86-64 with SVM and nested paging
//	      └ Linux, /init = this very test binary, as PID 1
//	          │       │  starts
//	          │       ▼  the test binary, -test.run=what was noted
//	          └ KVM   the guest of the test
//
// # In a test
//
// A package whose tests need KVM has a TestMain that calls [Main] (or [Tests], with goleak), and its tests call [RequireKVM]
// first. Where KVM works, a test then just runs. Elsewhere it is skipped and noted, and when all others are through the
// test binary is run once more, in one lab, for those that were noted; what fails there fails the process. Nothing is
// skipped in silence: where QEMU is missing, the reason is said, and under VOIDBOX_REQUIRE_VM=1 it is a failure.
//
// # How it works
//
// The root file system is an initramfs, made anew in memory for each boot: busybox, the files that were asked for, the
// modules of a kernel that has some, and as /init the running program itself, which [Init] turns into PID 1. So there is
// nothing to build, to install or to go stale. PID 1 serves the host over a virtio-serial port (internal/wire): it runs
// commands, one at a time, hands their streams over apart from each other and byte for byte, and sends a sign of life
// every second.
//
// A lab that gives none for [Config.Silence], on its console neither, is hung. It gets an NMI, on which its kernel panics
// and so says where it is stuck; a [HangError] carries what the console said. A lab that ends by itself is a [CrashError].
// Closing a lab kills it, as the end of its context does, and as the kernel does when its process ends: nothing in a lab
// is worth a second, for a command's writes have been synced when its end is reported.
package lab
