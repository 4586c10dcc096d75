package vsock

import (
	"log/slog"
	"net"
	"syscall"
)

// key names a connection: all of them are between the one guest and the host.
type key struct{ guest, host uint32 } // ports

type state uint8

const (
	stateDialing   state = iota // the guest asked; the host's socket is being connected
	stateRequested              // a host program asked; the guest has yet to answer
	stateOpen
	stateGone // not in the table; drain may still be at work
)

const (
	// A connection starts with minWindow bytes of credit for the guest and gets more as it uses them.
	minWindow = 16 << 10
	maxWindow = 256 << 10

	drainChunk = 32 << 10
	// keepBuffer is the largest buffer that an idle connection keeps.
	keepBuffer = 16 << 10
)

// Packets that are due. Any packet tells the guest its credit, so dueCredit is dropped when another one goes.
const (
	dueRequest = 1 << iota
	dueResponse
	dueCredit
	dueShutdown
)

// conn is one connection. Device.mu guards its fields; detach must have happened before it is forgotten.
type conn struct {
	key
	d     *Device
	state state
	unix  *net.UnixConn   // nil while dialing
	raw   syscall.RawConn // of unix
	done  chan struct{}   // closed by detach
	open  chan struct{}   // closed when a requested connection was answered

	// The ready list.
	listed bool
	next   *conn

	// Towards the guest. Section 5.10.6.3: sent-peerFwd bytes are on their way or unread, of peerAlloc.
	due         uint8
	shutFlags   uint32 // what the host side no longer does
	readable    bool   // the unix socket may have bytes, or EOF
	hostEOF     bool   // all bytes of the host program have been read
	rearm       chan struct{}
	sent        uint32
	peerAlloc   uint32
	peerFwd     uint32
	creditAsked bool

	// From the guest: received-forwarded bytes are in pending or being written, of window.
	window     uint32
	received   uint32
	forwarded  uint32
	announced  uint32 // forwarded, as the guest knows it
	pending    []byte
	writing    bool   // dial, handshake, transmit or drain has the host side, and will settle
	deaf       bool   // the host program reads no more: data is dropped
	guestFlags uint32 // what the guest no longer does
	writeShut  bool
}

// newConn adds a connection to the table, or returns nil where a limit forbids it. Device.mu is held.
func (d *Device) newConn(k key, s state) *conn {
	if d.closed || len(d.live) >= d.cfg.MaxConnections || d.reserved+minWindow > d.cfg.MaxBuffered {
		return nil
	}
	c := &conn{
		key: k, d: d, state: s, window: minWindow,
		done:  make(chan struct{}),
		open:  make(chan struct{}),
		rearm: make(chan struct{}, 1),
	}
	d.conns[k], d.live[c] = c, struct{}{}
	d.reserved += minWindow
	return c
}

// refused logs that newConn has returned nil, aloud only once: a guest can bring it about as often as it likes. Device.mu is held.
func (d *Device) refused(what string, port uint32) {
	if d.closed {
		return // nobody is too many: the device is going
	}
	level := slog.LevelDebug
	if !d.saidFull {
		d.saidFull, level = true, slog.LevelWarn
	}
	d.log.Log(d.ctx, level, "vsock connection refused: too many", what, port, "connections", len(d.live))
}

// setUnix gives the connection its host side.
func (c *conn) setUnix(u *net.UnixConn) error {
	raw, err := u.SyscallConn()
	c.unix, c.raw = u, raw
	return err
}

// detach takes the connection out of the table: the guest neither sends to it nor hears from it any more. What
// is pending goes on to the host.
func (c *conn) detach() {
	if c.state == stateGone {
		return
	}
	c.state = stateGone
	delete(c.d.conns, c.key)
	close(c.done)
	c.settle()
}

// settle does what had to wait for the last pending byte: the half-close that the guest asked for, and the end.
func (c *conn) settle() {
	if c.writing {
		return
	}
	if c.state == stateGone {
		c.release()
		return
	}
	if c.guestFlags&shutSend != 0 && !c.writeShut {
		c.writeShut = true
		_ = c.unix.CloseWrite()
	}
}

// release gives back what the connection used.
func (c *conn) release() {
	if _, ok := c.d.live[c]; !ok {
		return
	}
	delete(c.d.live, c)
	c.d.reserved -= int(c.window)
	c.pending = nil
	if c.unix != nil {
		_ = c.unix.Close()
	}
}

// abort ends the connection for both sides.
func (c *conn) abort() {
	if c.state == stateGone {
		return
	}
	c.d.reset(c.header(opReset))
	c.detach()
}

// reset queues a reset packet. Device.mu is held.
func (d *Device) reset(h header) {
	if !d.resets.push(h) {
		d.log.Debug("vsock reset dropped: the guest takes none", "guest_port", h.dstPort)
		return
	}
	d.wake()
}

// header returns a header of the connection with the credit that the guest has.
func (c *conn) header(op operation) header {
	return header{
		srcCID: HostCID, dstCID: c.d.cfg.GuestCID,
		srcPort: c.host, dstPort: c.guest,
		kind: typeStream, op: op,
		bufAlloc: c.window, fwdCnt: c.forwarded,
	}
}

// schedule puts the connection on the ready list.
func (c *conn) schedule() {
	if c.state == stateGone {
		return
	}
	c.d.ready.add(c)
	c.d.wake()
}

// shutdown tells the guest that the host side no longer does what flags say.
func (c *conn) shutdown(flags uint32) {
	if c.shutFlags|flags == c.shutFlags {
		return
	}
	c.shutFlags |= flags
	c.due |= dueShutdown
	c.schedule()
}

// credit returns how many bytes the guest has room for. A guest may shrink its buffer below what is in it.
func (c *conn) credit() uint32 {
	used := c.sent - c.peerFwd
	if used >= c.peerAlloc {
		return 0
	}
	return c.peerAlloc - used
}

// consumed notes that n bytes of the guest have left for the host, and tells the guest once it is worth a packet.
// A guest that waits for credit has all of its window in flight, so it is told at the latest when that is gone.
func (c *conn) consumed(n int) {
	c.forwarded += uint32(n)
	if c.forwarded-c.announced >= c.window/4 {
		c.due |= dueCredit
		c.schedule()
	}
}

// grow doubles the window of a guest that fills it, while half of what all connections may buffer is free. The other
// half is there so that new connections find room.
func (c *conn) grow() {
	more := c.window
	if c.received-c.announced < c.window/2 || c.window >= maxWindow {
		return
	}
	if c.d.reserved+int(more) > c.d.cfg.MaxBuffered/2 {
		return
	}
	c.window += more
	c.d.reserved += int(more)
	c.due |= dueCredit
	c.schedule()
}
