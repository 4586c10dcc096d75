package vhost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mdlayher/vsock"

	"github.com/voidbox-run/voidbox/virtio"
)

// bridge connects unix sockets with AF_VSOCK sockets of the host.
type bridge struct {
	cid    uint32
	path   string
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
	places chan struct{} // one for each connection

	listeners []net.Listener
}

// maxConnections bounds the connections of both directions.
const maxConnections = 1024

// handshakeLimit bounds the CONNECT line and the guest's answer.
const handshakeLimit = 10 * time.Second

func listen(path string, cid uint32) (*bridge, error) {
	b := &bridge{cid: cid, path: path, places: make(chan struct{}, maxConnections)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	l, err := virtio.ListenUnix(path)
	if err != nil {
		b.cancel()
		return nil, err
	}
	b.serve(l, b.toGuest)
	if err := b.listenPorts(); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// listenPorts listens on those ports of the host that somebody waits at.
func (b *bridge) listenPorts() error {
	paths, err := filepath.Glob(b.path + "_*")
	if err != nil {
		return err
	}
	for _, path := range paths {
		port, err := strconv.ParseUint(strings.TrimPrefix(path, b.path+"_"), 10, 32)
		if err != nil {
			continue
		}
		l, err := vsock.Listen(uint32(port), nil)
		if err != nil {
			return fmt.Errorf("port %d of the host, which one VM at a time can have with vhost: %w", port, err)
		}
		b.serve(l, func(conn net.Conn) { b.toHost(conn, path) })
	}
	return nil
}

// serve accepts connections until the listener is closed.
func (b *bridge) serve(l net.Listener, handle func(net.Conn)) {
	b.listeners = append(b.listeners, l)
	b.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case b.places <- struct{}{}:
			default:
				_ = conn.Close() // too many
				continue
			}
			b.done.Go(func() {
				defer func() { <-b.places }()
				stop := context.AfterFunc(b.ctx, func() { _ = conn.Close() })
				defer stop()
				defer conn.Close()
				handle(conn)
			})
		}
	})
}

// close ends every connection and waits for all that serves them.
func (b *bridge) close() error {
	b.cancel()
	var errs []error
	for _, l := range b.listeners {
		errs = append(errs, l.Close())
	}
	b.done.Wait()
	return errors.Join(errs...)
}

// maxLine is the longest request, "CONNECT 4294967295\n" with room, in bytes.
const maxLine = 32

// toGuest serves a client of the host: CONNECT, OK, and then bytes.
func (b *bridge) toGuest(client net.Conn) {
	_ = client.SetReadDeadline(time.Now().Add(handshakeLimit))
	reader := bufio.NewReaderSize(client, maxLine)
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return
	}
	text, ok := strings.CutPrefix(string(line), "CONNECT ")
	port, err := strconv.ParseUint(strings.TrimSuffix(text, "\n"), 10, 32)
	if !ok || err != nil {
		return
	}
	_ = client.SetReadDeadline(time.Time{})
	guest, err := vsock.Dial(b.cid, uint32(port), nil)
	if err != nil {
		return // nobody listens there
	}
	stop := context.AfterFunc(b.ctx, func() { _ = guest.Close() })
	defer stop()
	defer guest.Close()
	if _, err := fmt.Fprintf(client, "OK %d\n", guest.LocalAddr().(*vsock.Addr).Port); err != nil {
		return
	}
	// What the client sent behind the line is in the reader.
	behind, _ := reader.Peek(reader.Buffered())
	if _, err := guest.Write(behind); err != nil && len(behind) > 0 {
		return
	}
	join(client.(*net.UnixConn), guest)
}

// toHost serves a connection of the guest to a port of the host.
func (b *bridge) toHost(conn net.Conn, path string) {
	guest := conn.(*vsock.Conn)
	if guest.RemoteAddr().(*vsock.Addr).ContextID != b.cid {
		return // another VM's guest
	}
	var d net.Dialer
	host, err := d.DialContext(b.ctx, "unix", path)
	if err != nil {
		slog.Debug("nobody takes a guest's connection", "path", path, "error", err)
		return
	}
	stop := context.AfterFunc(b.ctx, func() { _ = host.Close() })
	defer stop()
	defer host.Close()
	join(host.(*net.UnixConn), guest)
}

// halves is a connection whose directions end apart.
type halves interface {
	io.ReadWriter
	CloseWrite() error
}

// join copies both ways until both have ended.
func join(a, b halves) {
	var back sync.WaitGroup
	back.Go(func() { forward(a, b) })
	forward(b, a)
	back.Wait()
}

func forward(to, from halves) {
	_, _ = io.Copy(to, from)
	_ = to.CloseWrite()
}
