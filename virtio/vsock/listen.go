package vsock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
)

const (
	// Host ports of connections that host programs start are taken from here up, away from those that programs
	// listen on.
	firstHostPort = 1 << 30
	lastHostPort  = 1<<31 - 1
	anyPort       = 1<<32 - 1 // VMADDR_PORT_ANY

	maxPath = 107 // of a unix socket
	// maxCommand is the length of the longest line: CONNECT 4294967295\n.
	maxCommand = 19

	retryFirst = time.Millisecond
	retryLast  = 50 * time.Millisecond
)

func listen(path string) (*net.UnixListener, error) {
	if longest := path + "_" + strconv.Itoa(anyPort); len(longest) > maxPath {
		return nil, fmt.Errorf("vsock: %s and its _PORT may have %d bytes, unix sockets allow %d: use a shorter directory",
			path, len(longest), maxPath)
	}
	l, err := virtio.ListenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("vsock: host socket: %w", err)
	}
	return l, nil
}

// accept takes host programs and leaves those beyond MaxHandshakes in the backlog.
func (d *Device) accept() {
	slots := make(chan struct{}, d.cfg.MaxHandshakes)
	for {
		select {
		case slots <- struct{}{}:
		case <-d.ctx.Done():
			return
		}
		u, err := d.listener.AcceptUnix()
		switch {
		case d.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			if err == nil {
				_ = u.Close()
			}
			return
		case err != nil:
			d.log.Error("vsock host socket: accept", "error", err)
			<-slots
			if !pause(retryLast, d.ctx.Done()) {
				return
			}
			continue
		}
		d.tasks.Go(func() { d.hostConnects(u, func() { <-slots }) })
	}
}

// hostConnects serves one host program: its handshake, which ends with a call of done, then the connection.
func (d *Device) hostConnects(u *net.UnixConn, done func()) {
	port, err := d.readCommand(u)
	done()
	if err != nil {
		d.log.Debug("vsock handshake failed", "error", err)
		_ = u.Close()
		return
	}
	c := d.request(u, port)
	if c == nil {
		_ = u.Close()
		return
	}
	if c.answered() {
		c.greet()
	}
}

// answered waits for the guest's answer to a request. True means that the caller has to greet, also where the
// guest has ended the connection right after its answer: the handshake has the host side then.
func (c *conn) answered() bool {
	timeout := time.NewTimer(c.d.cfg.HandshakeTimeout)
	defer timeout.Stop()
	select {
	case <-c.open:
		return true
	case <-c.done:
	case <-timeout.C:
		c.giveUp()
	}
	select {
	case <-c.open:
		return true
	default:
		return false
	}
}

// readCommand reads the line CONNECT <port>. It reads byte by byte, since what follows the line is the guest's.
func (d *Device) readCommand(u *net.UnixConn) (port uint32, err error) {
	_ = u.SetReadDeadline(time.Now().Add(d.cfg.HandshakeTimeout))
	stop := context.AfterFunc(d.ctx, func() { _ = u.SetReadDeadline(time.Unix(1, 0)) })
	var line [maxCommand]byte
	n := 0
	for n == 0 || line[n-1] != '\n' {
		if n == len(line) {
			return 0, fmt.Errorf("command %q is too long", line[:])
		}
		if _, err := u.Read(line[n : n+1]); err != nil {
			return 0, fmt.Errorf("read the command: %w", err)
		}
		n++
	}
	if !stop() {
		return 0, d.ctx.Err()
	}
	_ = u.SetReadDeadline(time.Time{})
	return parseCommand(string(line[:n-1]))
}

func parseCommand(line string) (port uint32, err error) {
	arg, ok := strings.CutPrefix(line, "CONNECT ")
	if !ok {
		return 0, fmt.Errorf("command %q, want CONNECT <port>", line)
	}
	n, err := strconv.ParseUint(arg, 10, 32)
	if err != nil || n == anyPort {
		return 0, fmt.Errorf("command %q: no port", line)
	}
	return uint32(n), nil
}

// request starts a connection to the guest. Where the device is not active yet, it waits for that.
func (d *Device) request(u *net.UnixConn, port uint32) *conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.newConn(key{guest: port, host: d.freePort(port)}, stateRequested)
	if c == nil {
		d.refused("guest_port", port)
		return nil
	}
	if err := c.setUnix(u); err != nil {
		c.detach()
		return nil
	}
	c.due |= dueRequest
	c.schedule()
	return c
}

// freePort finds a host port for a connection to the guest port; MaxConnections ends the search.
func (d *Device) freePort(guest uint32) uint32 {
	for {
		port := d.nextPort
		if d.nextPort++; d.nextPort > lastHostPort {
			d.nextPort = firstHostPort
		}
		if d.conns[key{guest: guest, host: port}] == nil {
			return port
		}
	}
}

// giveUp ends a connection that the guest has not answered, unless it just has.
func (c *conn) giveUp() {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if c.state != stateRequested {
		return
	}
	c.d.log.Debug("vsock connection refused: the guest does not answer", "guest_port", c.guest)
	c.abort()
}

// greet tells the host program that the guest has answered, and serves the connection.
func (c *conn) greet() {
	_, err := fmt.Fprintf(c.unix, "OK %d\n", c.host)
	c.mayWrite(err)
	c.watch()
}

// mayWrite ends the time in which the handshake held the host side.
func (c *conn) mayWrite(err error) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	switch {
	case err != nil:
		c.stopWriting()
	case len(c.pending) > 0:
		c.d.tasks.Go(c.drain)
	default:
		c.writing = false
		c.settle()
	}
}

// dial connects what the guest asked for to the host program that listens for it, and serves the connection.
func (c *conn) dial() {
	u, err := c.connect()
	if c.dialed(u, err) {
		c.watch()
	}
}

func (c *conn) connect() (*net.UnixConn, error) {
	deadline := time.Now().Add(c.d.cfg.HandshakeTimeout)
	var dialer net.Dialer
	for wait := retryFirst; ; wait = min(2*wait, retryLast) {
		u, err := dialer.DialContext(c.d.ctx, "unix", c.d.cfg.Path+"_"+strconv.FormatUint(uint64(c.host), 10))
		if err == nil {
			return u.(*net.UnixConn), nil
		}
		// EAGAIN is a listener whose backlog is full; all other errors are final.
		if !errors.Is(err, unix.EAGAIN) || time.Now().After(deadline) || !pause(wait, c.done) {
			return nil, err
		}
	}
}

func (c *conn) dialed(u *net.UnixConn, err error) bool {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.writing = false
	if u != nil {
		err = c.setUnix(u)
	}
	switch {
	case c.state == stateGone:
		c.settle()
		return false
	case err != nil:
		c.d.log.Debug("vsock connection refused", "port", c.host, "error", err)
		c.abort()
		return false
	}
	c.state = stateOpen
	c.due |= dueResponse
	c.schedule()
	return true
}

// pause waits for d, or returns false when done ends first.
func pause(d time.Duration, done <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
		return false
	}
}
