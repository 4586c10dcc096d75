package vsock

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/virtio"
)

// maxRead bounds what one connection sends before the next has its turn.
const maxRead = 64 << 10

// receive serves the RX queue: packets for the guest.
func (d *Device) receive(q *virtio.Queue, stop <-chan struct{}) error {
	r := receiver{d: d, q: q}
	return virtio.Deliver(q, stop, d.work, r.serveBatch)
}

type receiver struct {
	d       *Device
	q       *virtio.Queue
	chains  [16]virtio.Chain
	payload virtio.Segments
	in      vector
}

// serveBatch sends what is ready, up to a bound.
func (r *receiver) serveBatch() (virtio.Want, error) {
	for range batch {
		if !r.d.hasWork() {
			return virtio.WantArrivals, nil
		}
		ok, err := r.pop(0)
		if err != nil {
			return virtio.WantNothing, err
		}
		if !ok {
			return virtio.WantBuffers, nil
		}
		p := r.d.nextPacket()
		switch {
		case p.data != nil:
			err = r.sendData(p.data, p.credit)
		case p.header.op != 0:
			r.push(&r.chains[0], p.header)
		default:
			r.q.Unpop(&r.chains[0])
		}
		if err != nil {
			return virtio.WantNothing, err
		}
	}
	return virtio.WantNothing, nil
}

// pop takes a chain of the guest into slot i. A chain without room for a byte after the header is of no use.
func (r *receiver) pop(i int) (bool, error) {
	c := &r.chains[i]
	ok, err := r.q.Pop(c)
	if ok && c.Writable.Len() <= headerSize {
		return false, fmt.Errorf("%w: receive buffer of %d bytes", virtio.ErrRing, c.Writable.Len())
	}
	return ok, err
}

// push sends the packet whose payload is in place behind the header already.
func (r *receiver) push(c *virtio.Chain, h header) {
	var raw [headerSize]byte
	h.encode(&raw)
	c.Writable.CopyFrom(raw[:], 0)
	r.q.Push(c, headerSize+int(h.length))
}

// sendData reads from the connection's socket into the guest's buffers: the chain in slot 0 and as many more as the
// guest's credit fills.
func (r *receiver) sendData(c *conn, credit uint32) error {
	room := min(int(credit), maxRead)
	r.payload = r.payload[:0]
	used, err := 0, error(nil)
	for total := 0; ; {
		w := r.chains[used].Writable
		n := min(w.Len()-headerSize, room-total)
		r.payload = w.AppendRange(r.payload, headerSize, n)
		used++
		total += n
		if total == room || used == len(r.chains) || len(r.payload) > maxVector/2 {
			break
		}
		ok := false
		if ok, err = r.pop(used); !ok {
			break
		}
	}
	n, rerr := r.in.read(c.raw, r.payload)
	full := rerr == nil && n == r.payload.Len()
	sent := 0
	if h, ok := r.d.hasRead(c, n, rerr, full); ok {
		sent = r.pushData(h, n)
	}
	for i := used - 1; i >= sent; i-- {
		r.q.Unpop(&r.chains[i])
	}
	return err
}

// pushData sends n bytes, which fill the chains from slot 0 on, and returns how many chains that took.
func (r *receiver) pushData(h header, n int) int {
	i := 0
	for ; n > 0; i++ {
		c := &r.chains[i]
		h.length = uint32(min(n, c.Writable.Len()-headerSize))
		n -= int(h.length)
		r.push(c, h)
	}
	return i
}

func (d *Device) hasWork() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.resets.headers) > 0 || d.ready.head != nil
}

// packet is what goes to the guest next: a header alone, or data of up to credit bytes; nothing where op is 0.
type packet struct {
	header header
	data   *conn
	credit uint32
}

// nextPacket decides what goes next. A connection stays listed, behind the others, while it may have more.
func (d *Device) nextPacket() packet {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h, ok := d.resets.pop(); ok {
		return packet{header: h}
	}
	for {
		c := d.ready.pop()
		if c == nil {
			return packet{}
		}
		if p := c.nextPacket(); p.header.op != 0 {
			d.ready.add(c)
			return p
		}
	}
}

func (c *conn) nextPacket() packet {
	if c.state == stateGone {
		return packet{}
	}
	take := func(due uint8) bool {
		was := c.due&due != 0
		c.due &^= due
		return was
	}
	credit := c.credit()
	switch {
	case take(dueRequest):
		return packet{header: c.announce(opRequest)}
	case take(dueResponse):
		return packet{header: c.announce(opResponse)}
	case c.state != stateOpen:
		return packet{}
	case take(dueShutdown):
		h := c.announce(opShutdown)
		h.flags = c.shutFlags
		return packet{header: h}
	case c.readable && credit > 0:
		return packet{header: c.header(opData), data: c, credit: credit}
	case c.readable && !c.creditAsked:
		c.creditAsked = true
		return packet{header: c.announce(opCreditRequest)}
	case take(dueCredit):
		return packet{header: c.announce(opCreditUpdate)}
	}
	return packet{}
}

// announce returns a header that is going to be sent: what it says about credit need not be said again.
func (c *conn) announce(op operation) header {
	c.due &^= dueCredit
	c.announced = c.forwarded
	return c.header(op)
}

// hasRead notes what reading the connection's socket gave, and returns the header with which the bytes go to the
// guest, if any do. full means that there may be more.
func (d *Device) hasRead(c *conn, n int, err error, full bool) (header, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.state == stateGone {
		return header{}, false
	}
	c.sent += uint32(n)
	switch {
	case err == nil && n > 0:
		if !full {
			c.await()
		}
	case errors.Is(err, unix.EAGAIN):
		c.await()
	default:
		c.hostEnded(err)
	}
	if n == 0 {
		return header{}, false
	}
	return c.announce(opData), true
}

// await has watch look for more.
func (c *conn) await() {
	c.readable = false
	select {
	case c.rearm <- struct{}{}:
	default:
	}
}
