package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"
)

func (l *load) datagrams(ctx context.Context, rng *rand.Rand) error {
	conn, err := l.w.guestDials(ctx, "udp", netip.AddrPortFrom([]netip.Addr{hostIP, hostIP6}[rng.IntN(2)], port))
	if err != nil {
		return err
	}
	return l.exchange(ctx, conn, rng)
}

func (l *load) datagramsIn(ctx context.Context, rng *rand.Rand) error {
	conn, err := net.Dial("udp", l.w.out[1].String())
	if err != nil {
		return err
	}
	return l.exchange(ctx, conn, rng)
}

// exchange sends datagrams one after another, each when the one before it has come back or is taken for lost.
func (l *load) exchange(ctx context.Context, conn net.Conn, rng *rand.Rand) error {
	defer conn.Close()
	b := make([]byte, 1<<16)
	for range 1 + rng.IntN(40) {
		if ctx.Err() != nil {
			return nil
		}
		number := rng.Uint64()
		if _, err := conn.Write(datagram(number)); err != nil {
			return err
		}
		l.done.add("datagrams", 1)
		_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		for {
			n, err := conn.Read(b)
			if errors.Is(err, syscall.EAGAIN) || isTimeout(err) {
				break
			}
			if err == nil {
				err = checkDatagram(b[:n])
			}
			if err != nil {
				return err
			}
			if binary.LittleEndian.Uint64(b) == number { // others are repeated, or late
				l.done.add("datagrams back", 1)
				l.done.add("datagram bytes", int64(2*n))
				break
			}
		}
	}
	return nil
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// closedPort sends to where nobody listens, and hears that, unless it is lost.
func (l *load) closedPort(ctx context.Context, _ *rand.Rand) error {
	conn, err := l.w.guestDials(ctx, "udp", netip.AddrPortFrom(hostIP, closedPort))
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("is anybody there?")); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	_, err = conn.Read(make([]byte, 1))
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		l.done.add("closed ports", 1)
	case !isTimeout(err):
		return fmt.Errorf("a closed port: %w", err)
	}
	return nil
}
