//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// socketSide sends each record as one packet, with plain blocking calls, which are the quickest a socket has.
type socketSide struct {
	f    *os.File
	fd   int
	copy []byte
	peer *process
}

func newSocketSide(ctx context.Context) (*socketSide, error) {
	conn, p, err := startWithSocket(ctx, "socket")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	f, err := conn.File()
	if err != nil {
		return nil, err
	}
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, err
	}
	return &socketSide{f: f, fd: fd, copy: make([]byte, 64<<10), peer: p}, nil
}

func (s *socketSide) send(b []byte, n int) error {
	for i := range n {
		b[0] = opSink
		if i == n-1 {
			b[0] = opDone
		}
		if err := sendPacket(s.fd, b); err != nil {
			return err
		}
	}
	_, err := receivePacket(s.fd, s.copy)
	return err
}

func (s *socketSide) echo(b []byte) error {
	b[0] = opEcho
	if err := sendPacket(s.fd, b); err != nil {
		return err
	}
	_, err := receivePacket(s.fd, s.copy)
	return err
}

func (s *socketSide) close() {
	_ = s.f.Close()
	s.peer.stop()
}

func sendPacket(fd int, b []byte) error {
	for {
		_, err := unix.Write(fd, b)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func receivePacket(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		switch {
		case errors.Is(err, unix.EINTR):
		case err == nil && n == 0:
			return 0, io.EOF
		default:
			return n, err
		}
	}
}

func serveSocket() error {
	if err := unix.SetNonblock(firstFile, false); err != nil {
		return err
	}
	b := make([]byte, 64<<10)
	for {
		n, err := receivePacket(firstFile, b)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch b[0] {
		case opDone:
			err = sendPacket(firstFile, b[:1])
		case opEcho:
			err = sendPacket(firstFile, b[:n])
		}
		if err != nil {
			return err
		}
	}
}
