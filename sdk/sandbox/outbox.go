package sandbox

import (
	"io"
	"sync"
)

// outputKind tells the two outputs of a command apart.
type outputKind int

const (
	kindStdout outputKind = iota
	kindStderr
)

// outboxBytes is how much output may wait for the stream; a writer that has filled it waits.
const outboxBytes = 2 * ChunkBytes

// outbox sends the output of a command in the order in which it was written. What is written while a message is on its way is
// joined to the next one, so that many small writes cost few messages and no delay.
type outbox struct {
	send func(outputKind, []byte) error

	mu      sync.Mutex
	room    *sync.Cond // signalled when pending shrinks, or err is set
	pending []piece
	bytes   int
	sending bool
	idle    *sync.Cond // signalled when sending ends
	err     error
	closed  bool
	spare   []byte
}

type piece struct {
	kind outputKind
	data []byte
}

// newOutbox returns an outbox over send, which fails once its stream has ended; writers then fail as well.
func newOutbox(send func(outputKind, []byte) error) *outbox {
	o := &outbox{send: send}
	o.room, o.idle = sync.NewCond(&o.mu), sync.NewCond(&o.mu)
	return o
}

func (o *outbox) writer(k outputKind) io.Writer { return outboxWriter{o, k} }

type outboxWriter struct {
	box  *outbox
	kind outputKind
}

func (w outboxWriter) Write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 {
		n, err := w.box.add(w.kind, b)
		written += n
		if err != nil {
			return written, err
		}
		b = b[n:]
	}
	return written, nil
}

// add queues a part of b that fits into one chunk, waits for room if need be, and wakes the sender.
func (o *outbox) add(k outputKind, b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.bytes >= outboxBytes && o.err == nil && !o.closed {
		o.room.Wait()
	}
	if o.err != nil {
		return 0, o.err
	}
	if o.closed {
		return 0, io.ErrClosedPipe
	}
	last := len(o.pending) - 1
	if last < 0 || o.pending[last].kind != k || len(o.pending[last].data) == ChunkBytes {
		o.pending = append(o.pending, piece{kind: k, data: o.spare[:0]})
		o.spare = nil
		last++
	}
	p := &o.pending[last]
	n := min(len(b), ChunkBytes-len(p.data))
	p.data = append(p.data, b[:n]...)
	o.bytes += n
	if !o.sending {
		o.sending = true
		go o.drain()
	}
	return n, nil
}

// drain sends until nothing is pending. One runs at a time, and close waits for it.
func (o *outbox) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.pending) > 0 && o.err == nil {
		p := o.pending[0]
		o.pending = o.pending[1:]
		o.mu.Unlock()
		err := o.send(p.kind, p.data)
		o.mu.Lock()
		o.bytes -= len(p.data)
		o.spare = p.data
		if err != nil {
			o.err = err
		}
		o.room.Broadcast()
	}
	o.sending = false
	o.idle.Broadcast()
}

// close waits until all is sent, and returns what went wrong. Later writes fail.
func (o *outbox) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.room.Broadcast()
	for o.sending {
		o.idle.Wait()
	}
	return o.err
}
