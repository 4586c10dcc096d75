//go:build linux

package escape

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// card is the guest's.
const card = "eth0"

func datagram(r Request) ([]byte, error) {
	d := net.Dialer{Timeout: patience}
	if r.From != "" {
		from, err := netip.ParseAddrPort(r.From)
		if err != nil {
			return nil, err
		}
		d.LocalAddr = net.UDPAddrFromAddrPort(from)
	}
	conn, err := d.Dial("udp", r.To)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for _, b := range r.Send {
		if _, err := conn.Write(b); err != nil {
			return nil, err
		}
	}
	if !r.Answered {
		return nil, nil
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	b := make([]byte, readSize)
	n, err := conn.Read(b)
	return b[:n], err
}

func frames(all [][]byte) error {
	dev, err := net.InterfaceByName(card)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("a socket for frames: %w", err)
	}
	defer unix.Close(fd)
	for _, frame := range all {
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: dev.Index}); err != nil {
			return fmt.Errorf("send a frame: %w", err)
		}
	}
	return nil
}

func vsock(to string) error {
	var at unix.SockaddrVM
	if _, err := fmt.Sscanf(to, "%d:%d", &at.CID, &at.Port); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("a socket: %w", err)
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &at)
}
