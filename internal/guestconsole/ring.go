package guestconsole

import (
	"context"
	"strings"
	"sync"
)

// Size is the number of bytes kept.
const Size = 256 << 10

// maxChunk bounds what one call of a reader's function gets, in bytes.
const maxChunk = 32 << 10

// Ring is the kept output. Positions count bytes since the guest started. The zero value is ready to use.
type Ring struct {
	mu     sync.Mutex
	end    uint64        // position behind the newest byte
	closed bool          // no more output will come
	grown  chan struct{} // closed at the next Write or Close; nil when nobody waits
	data   [Size]byte    // last, so that no collector looks through it: what was never written takes no memory
}

// Write appends p; it never fails and never waits for readers.
func (r *Ring) Write(p []byte) (int, error) {
	n := len(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(p) > Size {
		r.end += uint64(len(p) - Size)
		p = p[len(p)-Size:]
	}
	for len(p) > 0 {
		copied := copy(r.data[r.end%Size:], p)
		r.end += uint64(copied)
		p = p[copied:]
	}
	r.wake()
	return n, nil
}

// Close says that the output is complete, which ends readers that follow.
func (r *Ring) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.wake()
}

func (r *Ring) wake() {
	if r.grown != nil {
		close(r.grown)
		r.grown = nil
	}
}

// Read calls fn with the output from the oldest byte kept; lost counts the bytes that were dropped since the call before.
// With follow it goes on until Close, else it ends at what is there. data belongs to fn.
func (r *Ring) Read(ctx context.Context, follow bool, fn func(data []byte, lost uint64) error) error {
	var pos uint64
	for {
		data, lost, more := r.next(&pos)
		if len(data) > 0 {
			if err := fn(data, lost); err != nil {
				return err
			}
			continue
		}
		if more == nil || !follow {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next copies what follows *pos and moves it on. Without data, more is closed when there is some; nil after Close.
func (r *Ring) next(pos *uint64) (data []byte, lost uint64, more <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if oldest := r.oldest(); *pos < oldest {
		lost = oldest - *pos
		*pos = oldest
	}
	if *pos < r.end {
		data = r.copyRange(*pos, min(r.end, *pos+maxChunk))
		*pos += uint64(len(data))
		return data, lost, nil
	}
	if r.closed {
		return nil, 0, nil
	}
	if r.grown == nil {
		r.grown = make(chan struct{})
	}
	return nil, 0, r.grown
}

func (r *Ring) oldest() uint64 {
	return r.end - min(r.end, Size)
}

func (r *Ring) copyRange(from, to uint64) []byte {
	out := make([]byte, 0, to-from)
	for from < to {
		at := from % Size
		n := min(to-from, Size-at)
		out = append(out, r.data[at:at+n]...)
		from += n
	}
	return out
}

// Tail returns the last lines, without the carriage returns of the serial port.
func (r *Ring) Tail(lines int) string {
	r.mu.Lock()
	from := max(r.oldest(), r.end-min(r.end, 16<<10))
	text := string(r.copyRange(from, r.end))
	r.mu.Unlock()
	all := strings.Split(strings.TrimRight(strings.ReplaceAll(text, "\r", ""), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Written returns the number of bytes written since the start.
func (r *Ring) Written() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end
}
