package output

import (
	"context"
	"io"
	"math"
	"sort"
	"sync"
)

const (
	// Limit is how many bytes are kept, of both streams together.
	Limit = 1 << 20
	// maxPiece bounds a piece, so that what is dropped is dropped in small steps.
	maxPiece = 32 << 10
	// maxPieces bounds the bookkeeping. Only a process that alternates between its streams every few bytes reaches it, and
	// has less than Limit kept.
	maxPieces = 1 << 15
)

// piece is an unbroken run of bytes of one stream. Its bytes never change; only new ones are appended.
type piece struct {
	stderr bool
	start  uint64 // number of its first byte, counted over both streams
	data   []byte
}

func (p piece) end() uint64 { return p.start + uint64(len(p.data)) }

// Log keeps the last Limit bytes of two streams, in the order in which they came.
type Log struct {
	mu     sync.Mutex
	pieces []piece
	size   int
	next   uint64 // number of the next byte
	closed bool
	change chan struct{} // closed and replaced when something was added
}

// NewLog makes an empty log.
func NewLog() *Log { return &Log{change: make(chan struct{})} }

// Stream returns the writer of one stream.
func (l *Log) Stream(stderr bool) io.Writer { return stream{l, stderr} }

type stream struct {
	log    *Log
	stderr bool
}

func (s stream) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), maxPiece)
		s.log.add(s.stderr, rest[:n])
		rest = rest[n:]
	}
	return len(p), nil
}

func (l *Log) add(stderr bool, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := len(l.pieces) - 1; last >= 0 && l.pieces[last].stderr == stderr && len(l.pieces[last].data)+len(data) <= maxPiece {
		l.pieces[last].data = append(l.pieces[last].data, data...)
	} else {
		l.pieces = append(l.pieces, piece{stderr, l.next, append([]byte(nil), data...)})
	}
	l.size += len(data)
	l.next += uint64(len(data))
	for l.size-len(l.pieces[0].data) >= Limit || len(l.pieces) > maxPieces {
		l.size -= len(l.pieces[0].data)
		l.pieces[0] = piece{}
		l.pieces = l.pieces[1:]
	}
	l.wake()
}

// Close says that nothing more will come.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
}

func (l *Log) wake() {
	close(l.change)
	l.change = make(chan struct{})
}

// Copy writes what is kept, from the oldest byte on; with follow it goes on until Close. A reader that is slower than the
// process misses what is dropped meanwhile. A nil writer discards.
func (l *Log) Copy(ctx context.Context, follow bool, stdout, stderr io.Writer) error {
	until := uint64(math.MaxUint64)
	if !follow {
		until = l.end()
	}
	for at := uint64(0); at < until; {
		pieces, closed, change := l.from(at)
		for _, p := range pieces {
			if err := write(p, stdout, stderr); err != nil {
				return err
			}
			at = p.end()
		}
		if len(pieces) > 0 {
			continue
		}
		if closed {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func write(p piece, stdout, stderr io.Writer) error {
	w := stdout
	if p.stderr {
		w = stderr
	}
	if w == nil {
		return nil
	}
	_, err := w.Write(p.data)
	return err
}

func (l *Log) end() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// batch bounds what one reader takes at once, so that a slow one holds little.
const batch = 16

// from returns what follows byte at, up to a batch.
func (l *Log) from(at uint64) (pieces []piece, closed bool, change chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := sort.Search(len(l.pieces), func(i int) bool { return l.pieces[i].end() > at })
	last := min(first+batch, len(l.pieces))
	pieces = append(pieces, l.pieces[first:last]...)
	if len(pieces) > 0 && pieces[0].start < at {
		pieces[0].data = pieces[0].data[at-pieces[0].start:]
		pieces[0].start = at
	}
	return pieces, l.closed, l.change
}
