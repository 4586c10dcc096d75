// Package fdpass passes file descriptors over private unix sockets.
//
// Listen makes a socket that only its owner can reach and CheckPeer asks the kernel who is at the other end, since
// whoever receives a descriptor can do with it what its sender could. Send and Receive carry descriptors next to
// bytes (SCM_RIGHTS). The peer of Receive is not trusted: what it sends beyond the bound is closed again, and no
// descriptor is left open when Receive fails.
package fdpass
