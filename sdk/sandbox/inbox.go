package sandbox

import (
	"io"
	"sync"
)

// inboxBytes is how much standard input may wait for the command. Signals travel in the same stream behind it: when a command
// leaves more than this unread, plus what flow control holds back, a signal waits with it. Cancelling the call does not.
const inboxBytes = 1 << 20

// inbox is a bounded queue of bytes between the receiver of a stream and the reader of a command's standard input.
type inbox struct {
	mu      sync.Mutex
	changed *sync.Cond
	chunks  [][]byte
	bytes   int
	eof     bool // no more input
	closed  bool // nobody reads any more
}

func newInbox() *inbox {
	b := &inbox{}
	b.changed = sync.NewCond(&b.mu)
	return b
}

// put queues a chunk, which it keeps; it waits for room. It returns false when nobody reads any more, or after end.
func (b *inbox) put(chunk []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.bytes >= inboxBytes && !b.closed {
		b.changed.Wait()
	}
	if b.closed || b.eof {
		return false
	}
	if len(chunk) > 0 {
		b.chunks = append(b.chunks, chunk)
		b.bytes += len(chunk)
		b.changed.Broadcast()
	}
	return true
}

// end marks the end of the input; what is queued is still read.
func (b *inbox) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.eof = true
	b.changed.Broadcast()
}

// close drops what is queued and releases both sides.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.chunks, b.bytes = true, nil, 0
	b.changed.Broadcast()
}

// Read implements io.Reader.
func (b *inbox) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.chunks) == 0 && !b.eof && !b.closed {
		b.changed.Wait()
	}
	if b.closed || len(b.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.chunks[0])
	b.bytes -= n
	if b.chunks[0] = b.chunks[0][n:]; len(b.chunks[0]) == 0 {
		b.chunks = b.chunks[1:]
	}
	b.changed.Broadcast()
	return n, nil
}
