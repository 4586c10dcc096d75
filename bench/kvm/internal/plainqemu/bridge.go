package plainqemu

import (
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/mdlayher/vsock"

	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// bridge joins the kernel's vsock to unix sockets: what the guest dials arrives at <path>_<port>, and who connects to <path> and
// writes "CONNECT <port>\n" reaches the guest.
type bridge struct {
	guest     *vmm.Vsock
	listeners []net.Listener
	tasks     sync.WaitGroup
}

func newBridge(guest *vmm.Vsock, ports []uint32) (*bridge, error) {
	b := &bridge{guest: guest}
	l, err := net.Listen("unix", guest.SocketPath)
	if err != nil {
		return nil, err
	}
	b.serve(l, b.toGuest)
	for _, port := range ports {
		l, err := vsock.Listen(port, nil)
		if err != nil {
			b.close()
			return nil, fmt.Errorf("listen on vsock port %d: %w", port, err)
		}
		b.serve(l, func(conn net.Conn) { b.toHost(conn, port) })
	}
	return b, nil
}

func (b *bridge) serve(l net.Listener, handle func(net.Conn)) {
	b.listeners = append(b.listeners, l)
	b.tasks.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b.tasks.Go(func() { handle(conn) })
		}
	})
}

func (b *bridge) close() {
	for _, l := range b.listeners {
		_ = l.Close()
	}
	b.tasks.Wait()
}

func (b *bridge) toGuest(conn net.Conn) {
	defer conn.Close()
	var port uint32
	line := make([]byte, 0, 32)
	for one := make([]byte, 1); len(line) < cap(line); {
		if _, err := conn.Read(one); err != nil {
			return
		}
		if one[0] == '\n' {
			break
		}
		line = append(line, one[0])
	}
	if n, _ := fmt.Sscanf(string(line), "CONNECT %d", &port); n != 1 {
		return
	}
	guest, err := vsock.Dial(b.guest.GuestCID, port, nil)
	if err != nil {
		return
	}
	defer guest.Close()
	if _, err := fmt.Fprintf(conn, "OK %d\n", port); err != nil {
		return
	}
	join(conn, guest)
}

func (b *bridge) toHost(guest net.Conn, port uint32) {
	defer guest.Close()
	conn, err := net.Dial("unix", hostSocket(b.guest.SocketPath, port))
	if err != nil {
		return
	}
	defer conn.Close()
	join(guest, conn)
}

// join copies both ways until either end is through.
func join(a, b net.Conn) {
	var both sync.WaitGroup
	half := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		if c, ok := to.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite()
		}
	}
	both.Go(func() { half(a, b) })
	both.Go(func() { half(b, a) })
	both.Wait()
}
