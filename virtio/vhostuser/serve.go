package vhostuser

import (
	"context"
	"errors"
	"net"

	"github.com/voidbox-run/voidbox/virtio"
)

// Serve lets the front end at the other end of conn drive dev until it hangs up (nil), breaks the protocol
// or ctx ends. It takes over conn. When it returns, dev has been reset and no guest memory is mapped.
func Serve(ctx context.Context, conn *net.UnixConn, dev virtio.Device) error {
	return errors.ErrUnsupported
}

// Listener waits for one front end.
type Listener struct{}

// Listen creates a unix socket of mode 0600 at path.
func Listen(path string) (*Listener, error) { return nil, errors.ErrUnsupported }

// Accept returns the first connection, which must come from this user, and removes the socket.
func (l *Listener) Accept(ctx context.Context) (*net.UnixConn, error) {
	return nil, errors.ErrUnsupported
}

// Close removes the socket and ends Accept.
func (l *Listener) Close() error { return nil }
