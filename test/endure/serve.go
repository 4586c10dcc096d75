package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// serve starts all servers, of the host and of the guest. They are the group's, and end with stop.
func (l *load) serve(ctx context.Context, group *errgroup.Group) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	here := func(do func() error) error { return do() }
	for _, s := range []struct {
		in func(func() error) error
		at netip.AddrPort
	}{
		{here, netip.AddrPortFrom(hostIP, port)}, {here, netip.AddrPortFrom(hostIP6, port)},
		{here, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), servicePort)}, {l.w.inGuest, netip.AddrPortFrom(guestIP.Addr(), port)},
	} {
		var streams net.Listener
		var packets net.PacketConn
		if err := s.in(func() (err error) {
			if streams, err = net.Listen("tcp", s.at.String()); err != nil {
				return err
			}
			packets, err = net.ListenPacket("udp", s.at.String())
			return err
		}); err != nil {
			return nil, err
		}
		group.Go(func() error { return l.accept(ctx, group, streams) })
		group.Go(func() error { return l.echo(ctx, packets) })
	}
	service, err := net.Listen("unix", filepath.Join(l.w.dir, "service.sock"))
	if err != nil {
		return nil, err
	}
	group.Go(func() error { return l.accept(ctx, group, service) })
	return cancel, errors.Join(l.serveNames(ctx, group), l.servePages(ctx, group))
}

// accept serves connections until ctx ends.
func (l *load) accept(ctx context.Context, group *errgroup.Group, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return unlessDone(ctx, err)
		}
		group.Go(func() error {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			n, err := answer(patient{conn.(stream)})
			l.done.add("bytes", n)
			if err != nil {
				err = fmt.Errorf("%v: %w", listener.Addr(), err)
			}
			return unlessDone(ctx, err)
		})
	}
}

// echo sends back good datagrams.
func (l *load) echo(ctx context.Context, conn net.PacketConn) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	b := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFrom(b)
		if err == nil {
			err = checkDatagram(b[:n])
		}
		if err != nil {
			return unlessDone(ctx, err)
		}
		_, _ = conn.WriteTo(b[:n], from) // may be lost, like any
	}
}

func unlessDone(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, errOtherBytes) {
		return nil
	}
	return err
}
