//go:build linux

package vhostuser

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/voidbox-run/voidbox/internal/fdpass"
	"github.com/voidbox-run/voidbox/virtio"
)

// Listener waits for one front end.
type Listener struct {
	l *net.UnixListener
}

// Listen creates a unix socket of mode 0600 at path, which must not exist; keep it in a private directory.
func Listen(path string) (*Listener, error) {
	l, err := virtio.ListenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("vhost-user socket: %w", err)
	}
	return &Listener{l: l}, nil
}

// Accept returns the first connection and removes the socket. A connection of another user is an error.
func (l *Listener) Accept(ctx context.Context) (*net.UnixConn, error) {
	defer l.l.Close()
	stop := context.AfterFunc(ctx, func() { _ = l.l.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn, err := l.l.AcceptUnix()
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("vhost-user socket: %w", err)
	}
	if err := fdpass.CheckPeer(conn, os.Getuid()); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("vhost-user %w", err)
	}
	return conn, nil
}

// Close removes the socket and ends Accept.
func (l *Listener) Close() error { return l.l.Close() }
