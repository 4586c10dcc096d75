// Package sse reads server-sent events (WHATWG HTML, section 9.2) as model providers send them: one direction, no reconnection,
// from a server that is not trusted. Lines may end in CR, LF or both, in any piece in which they arrive; an event is handed over
// with its last line, never later.
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ErrTooLong says that an event is longer than the reader takes.
var ErrTooLong = errors.New("server-sent event is too long")

// Event is one event. Data is valid until the next call of Next.
type Event struct {
	Name string // empty means "message"
	Data []byte
}

// Reader reads events.
type Reader struct {
	in     *bufio.Reader
	limit  int
	skipLF bool // the last line ended in CR, so that an LF would belong to it
	line   []byte
	data   []byte
}

// NewReader reads events of at most limit bytes each.
func NewReader(r io.Reader, limit int) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, 16<<10), limit: limit}
}

// Next returns the next event that has data. At the end it returns io.EOF, or io.ErrUnexpectedEOF when the stream ends within an
// event.
func (r *Reader) Next() (Event, error) {
	var e Event
	size, begun, first := 0, false, true
	r.data = r.data[:0]
	for {
		line, err := r.readLine()
		if err != nil {
			if errors.Is(err, io.EOF) && (begun || len(line) > 0) {
				err = io.ErrUnexpectedEOF
			}
			return Event{}, err
		}
		if size += len(line); size > r.limit {
			return Event{}, fmt.Errorf("%w: more than %d bytes", ErrTooLong, r.limit)
		}
		if len(line) == 0 {
			if !first {
				e.Data = bytes.TrimSuffix(r.data, []byte{'\n'})
				return e, nil
			}
			e, begun = Event{}, false // an event without data is none
			continue
		}
		name, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.TrimPrefix(value, []byte{' '})
		switch string(bytes.TrimPrefix(name, []byte("\xef\xbb\xbf"))) {
		case "data":
			r.data = append(append(r.data, value...), '\n')
			first, begun = false, true
		case "event":
			e.Name, begun = string(value), true
		}
	}
}

// readLine returns a line without its end. A line that the stream's end cuts is returned with the error.
func (r *Reader) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		if _, err := r.in.Peek(1); err != nil {
			return r.line, err
		}
		piece, _ := r.in.Peek(r.in.Buffered())
		if r.skipLF {
			r.skipLF = false
			if piece[0] == '\n' {
				r.in.Discard(1)
				continue
			}
		}
		end := bytes.IndexAny(piece, "\r\n")
		if end < 0 {
			r.line = append(r.line, piece...)
			r.in.Discard(len(piece))
			if len(r.line) > r.limit {
				return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrTooLong, r.limit)
			}
			continue
		}
		r.line = append(r.line, piece[:end]...)
		r.skipLF = piece[end] == '\r'
		r.in.Discard(end + 1)
		return r.line, nil
	}
}
