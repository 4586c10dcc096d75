// Package vmm is the contract of a virtual machine monitor. A monitor process holds one VM, so that an escape from the guest
// lands in a process that holds nothing else.
//
// States: none -> created -> running <-> paused -> stopped. A call that the state forbids returns errdef.ErrState.
//
// [Register] serves a [VMM] on a gRPC server; [NewClient] is the VMM at the other end. A plugin author writes neither, the
// sdk's Serve does it.
package vmm
