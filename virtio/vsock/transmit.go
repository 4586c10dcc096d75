package vsock

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
)

// batch is how many chains are handled between two publications.
const batch = 64

// transmit serves the TX queue: packets from the guest. It waits for nothing but the guest.
func (d *Device) transmit(q *virtio.Queue, stop <-chan struct{}) error {
	t := transmitter{d: d}
	for {
		q.DisableKicks()
		more, err := t.serveBatch(q)
		if perr := q.Publish(); err == nil {
			err = perr
		}
		if err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		default:
		}
		if more || q.EnableKicks() {
			continue
		}
		select {
		case <-stop:
			return nil
		case <-q.Kick().C():
		}
	}
}

type transmitter struct {
	d       *Device
	chain   virtio.Chain
	payload virtio.Segments
	out     vector
}

// serveBatch handles some chains and reports whether there may be more.
func (t *transmitter) serveBatch(q *virtio.Queue) (more bool, err error) {
	for range batch {
		ok, err := q.Pop(&t.chain)
		if !ok {
			return false, err
		}
		t.packet(t.chain.Readable)
		q.Push(&t.chain, 0)
	}
	return true, nil
}

// packet handles one packet: its header and what follows it.
func (t *transmitter) packet(guest virtio.Segments) {
	var raw [headerSize]byte
	if guest.CopyTo(raw[:], 0) < headerSize {
		t.d.log.Debug("vsock packet dropped: no header", "bytes", guest.Len())
		return
	}
	h := decodeHeader(&raw)
	t.payload = t.payload[:0]
	if h.op == opData {
		t.payload = guest.AppendRange(t.payload, headerSize, int(min(h.length, maxWindow+1)))
	}
	if c := t.d.dispatch(h, t.payload); c != nil {
		t.write(c)
	}
}

// dispatch carries out a packet's meaning. It returns a connection whose socket is idle and to which the caller
// has to write the payload.
func (d *Device) dispatch(h header, payload virtio.Segments) (direct *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.srcCID != d.cfg.GuestCID {
		d.log.Debug("vsock packet dropped: not the guest's CID", "cid", h.srcCID)
		return nil
	}
	c := d.conns[key{guest: h.srcPort, host: h.dstPort}]
	switch {
	case h.dstCID != HostCID || h.kind != typeStream:
		if h.op != opReset {
			d.reset(resetOf(h))
		}
		return nil
	case h.op == opRequest && c == nil:
		d.guestConnects(h)
		return nil
	case c == nil:
		if h.op != opReset {
			d.reset(resetOf(h))
		}
		return nil
	}
	if !c.receive(h) {
		c.abort()
		return nil
	}
	if h.op == opData && c.state == stateOpen {
		return c.accept(h, payload)
	}
	return nil
}

// guestConnects starts a connection that the guest asks for.
func (d *Device) guestConnects(h header) {
	c := d.newConn(key{guest: h.srcPort, host: h.dstPort}, stateDialing)
	if c == nil {
		d.refused("port", h.dstPort)
		d.reset(resetOf(h))
		return
	}
	c.setCredit(h)
	c.writing = true
	d.tasks.Go(c.dial)
}

// receive applies a packet to its connection, but for its payload. It returns false where the packet may not come
// now.
func (c *conn) receive(h header) bool {
	c.setCredit(h)
	switch h.op {
	case opResponse:
		if c.state != stateRequested {
			return false
		}
		c.state, c.writing = stateOpen, true // the handshake writes its answer first
		close(c.open)
	case opReset:
		c.detach()
	case opShutdown:
		return c.guestShuts(h.flags)
	case opData:
		return c.state == stateOpen && c.guestFlags&shutSend == 0
	case opCreditUpdate:
		return c.state == stateOpen
	case opCreditRequest:
		c.due |= dueCredit
		c.schedule()
		return c.state == stateOpen
	default:
		return false
	}
	return true
}

// setCredit notes how much the guest has room for, which any packet tells.
func (c *conn) setCredit(h header) {
	before := c.credit()
	c.peerAlloc, c.peerFwd = h.bufAlloc, h.fwdCnt
	if c.credit() > before {
		c.creditAsked = false
		if c.readable {
			c.schedule()
		}
	}
}

func (c *conn) guestShuts(flags uint32) bool {
	if c.state != stateOpen {
		return false
	}
	c.guestFlags |= flags & shutBoth
	if c.guestFlags == shutBoth {
		// The guest has closed its socket. A reset is what it waits for, and its ports are free then.
		c.abort()
		return true
	}
	if c.guestFlags&shutReceive != 0 {
		_ = c.unix.CloseRead() // the host program is told with EPIPE
	}
	c.settle()
	return true
}

// accept takes the payload of a data packet. Where nothing else is on its way to the socket the caller writes it
// without a copy.
func (c *conn) accept(h header, payload virtio.Segments) (direct *conn) {
	n := payload.Len()
	if uint32(n) != h.length || uint32(n) > c.window-(c.received-c.forwarded) {
		c.d.log.Debug("vsock connection reset: data without credit", "guest_port", c.guest, "bytes", h.length)
		c.abort()
		return nil
	}
	c.received += uint32(n)
	c.grow()
	switch {
	case c.deaf:
		c.consumed(n)
	case c.writing:
		c.buffer(payload, 0)
	case n > 0:
		c.writing = true
		return c
	}
	return nil
}

// buffer keeps the payload from offset on for drain.
func (c *conn) buffer(payload virtio.Segments, offset int) {
	for _, s := range payload {
		if offset >= len(s) {
			offset -= len(s)
			continue
		}
		c.pending = append(c.pending, s[offset:]...)
		offset = 0
	}
}

// write sends the payload to an idle socket. What it does not take at once is left to drain.
func (t *transmitter) write(c *conn) {
	n, err := t.out.write(c.raw, t.payload)
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.consumed(n)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		c.stopWriting()
		return
	}
	if n == t.payload.Len() {
		c.writing = false
		c.settle()
		return
	}
	c.buffer(t.payload, n)
	c.d.tasks.Go(c.drain)
}
