package guestconsole

import "bytes"

// maxLine bounds what is kept of one line, in bytes; the rest of a longer line is left out.
const maxLine = 1 << 10

// Lines splits output into lines and gives each to its function. It is an io.Writer for one goroutine.
type Lines struct {
	fn   func(line string)
	part []byte
}

// NewLines returns a Lines that calls fn.
func NewLines(fn func(line string)) *Lines { return &Lines{fn: fn} }

// Write never fails.
func (l *Lines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, found := bytes.Cut(p, []byte{'\n'})
		l.part = append(l.part, line[:min(len(line), maxLine-len(l.part))]...)
		if !found {
			return n, nil
		}
		l.fn(string(bytes.TrimRight(l.part, "\r")))
		l.part = l.part[:0]
		p = rest
	}
}
