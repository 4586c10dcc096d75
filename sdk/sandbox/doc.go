// Package sandbox is the contract of an isolated environment: run commands, handle files, look at it, end it.
//
// The same contract is served by the guest agent of a VM, over vsock, and by sandbox plugins, so that nobody above needs to
// know which of them answers. The package therefore knows nothing of plugins; it must stay small enough for a guest.
//
// [Register] serves a [Sandbox] on a gRPC server and [NewClient] is the Sandbox at the far end; [RegisterProvider] and
// [NewProvider] do the same for a [Provider]. Neither end trusts the other: a token comes with every call and is checked before
// a byte of it is decoded, every size is bounded, and a peer that breaks the contract ends its own call and nothing else.
//
// Errors are those of package errdef: errdef.ErrNotFound for a missing path or program, errdef.ErrPermission,
// errdef.ErrInvalid, errdef.ErrUnauthenticated and so on, on both sides of the wire.
package sandbox
