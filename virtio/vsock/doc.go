// Package vsock is the virtio socket device (Virtio 1.2 section 5.10) in user space: stream sockets
// between a guest and its host, without any network.
package vsock
