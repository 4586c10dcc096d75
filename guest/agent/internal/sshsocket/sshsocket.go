// Package sshsocket is the guest's end of an SSH agent on the host: a unix socket for the sandbox's user, each connection of which
// is carried to the host. It does not look at what it carries; the other end does.
package sshsocket

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/voidbox-run/voidbox/sdk/boot"
)

// maxConnections is what the host takes at once.
const maxConnections = 64

// Socket carries connections until it is closed.
type Socket struct {
	listener net.Listener
	token    []byte
	dial     func() (net.Conn, error)
	log      *slog.Logger
	slots    chan struct{}
	running  sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
}

// Listen makes the socket at path, which the owner alone may connect to, beside root. dial connects to the host.
func Listen(path string, owner boot.User, token []byte, dial func() (net.Conn, error), log *slog.Logger) (*Socket, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket of the SSH agent: %w", err)
	}
	err = os.Chmod(path, 0o600)
	if err == nil {
		err = os.Chown(path, int(owner.UID), int(owner.GID))
	}
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("socket of the SSH agent: %w", err)
	}
	s := &Socket{listener: l, token: token, dial: dial, log: log, slots: make(chan struct{}, maxConnections), open: map[net.Conn]bool{}}
	s.running.Go(s.accept)
	return s, nil
}

func (s *Socket) accept() {
	for {
		s.slots <- struct{}{}
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() {
			defer func() { <-s.slots }()
			s.carry(conn)
		})
	}
}

// carry joins a connection with one to the host, until either ends.
func (s *Socket) carry(conn net.Conn) {
	if !s.own(conn) {
		return
	}
	defer s.disown(conn)
	host, err := s.dial()
	if err != nil {
		s.log.Warn("the SSH agent on the host is not there", "error", err)
		return
	}
	if !s.own(host) {
		return
	}
	defer s.disown(host)
	if _, err := host.Write(s.token); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(conn, host)
		_ = conn.Close()
	})
	_, _ = io.Copy(host, conn)
	_ = host.Close()
	back.Wait()
}

// own notes a connection, or closes it if the socket is closed already.
func (s *Socket) own(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return false
	}
	s.open[conn] = true
	return true
}

func (s *Socket) disown(conn net.Conn) {
	s.mu.Lock()
	delete(s.open, conn)
	s.mu.Unlock()
	_ = conn.Close()
}

// Close ends the socket and all that it carries. A nil one has nothing to end.
func (s *Socket) Close() {
	if s == nil {
		return
	}
	_ = s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for conn := range s.open {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}
