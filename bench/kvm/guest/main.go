// Command guest is the guest's half of the vsock benchmark: it dials the host and prints how long what it was asked for took.
// Blocking sockets and no runtime poller, so that as little as possible of the figure is the guest's own.
//
//	guest ping PORT COUNT    one byte there and back, COUNT times; prints the median in ns
//	guest send PORT BYTES    prints the ns until the host has confirmed the last byte
//	guest receive PORT BYTES prints the ns until the last byte has come
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	hostCID   = 2
	chunkSize = 256 << 10
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("want: ping, send or receive, a port and a number")
	}
	port, err := strconv.ParseUint(args[1], 10, 32)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, &unix.SockaddrVM{CID: hostCID, Port: uint32(port)}); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	took, err := measure(args[0], socket(fd), n)
	if err != nil {
		return err
	}
	fmt.Println(took.Nanoseconds())
	return nil
}

func measure(what string, s socket, n int) (time.Duration, error) {
	switch what {
	case "ping":
		return ping(s, n)
	case "send":
		return send(s, n)
	case "receive":
		return receive(s, n)
	}
	return 0, fmt.Errorf("%q is none of ping, send and receive", what)
}

func ping(s socket, count int) (time.Duration, error) {
	times := make([]time.Duration, count)
	b := []byte{1}
	for i := range times {
		start := time.Now()
		if _, err := s.Write(b); err != nil {
			return 0, err
		}
		if _, err := s.Read(b); err != nil {
			return 0, err
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	return times[count/2], nil
}

func send(s socket, bytes int) (time.Duration, error) {
	start := time.Now()
	chunk := make([]byte, chunkSize)
	for bytes > 0 {
		n, err := s.Write(chunk[:min(bytes, len(chunk))])
		if err != nil {
			return 0, err
		}
		bytes -= n
	}
	_, err := s.Read(chunk[:1])
	return time.Since(start), err
}

func receive(s socket, bytes int) (time.Duration, error) {
	start := time.Now()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(s, int64(bytes)), make([]byte, chunkSize))
	if err == nil && n < int64(bytes) {
		err = io.ErrUnexpectedEOF
	}
	return time.Since(start), err
}

// socket is a blocking descriptor.
type socket int

func (s socket) Read(p []byte) (int, error) {
	n, err := unix.Read(int(s), p)
	if err == nil && n == 0 {
		err = io.EOF
	}
	return max(n, 0), err
}

func (s socket) Write(p []byte) (int, error) {
	n, err := unix.Write(int(s), p)
	return max(n, 0), err
}
