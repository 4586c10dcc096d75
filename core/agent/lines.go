package agent

import "bytes"

// lineWriter cuts what is written to it into lines, each at most limit bytes long. Longer ones are passed over and counted.
type lineWriter struct {
	limit   int
	line    func([]byte) error
	dropped int

	buf  []byte
	skip bool // until the end of a line that is too long
}

func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		piece, rest, ended := bytes.Cut(p, []byte{'\n'})
		p = rest
		if !w.skip && len(w.buf)+len(piece) > w.limit {
			w.buf, w.skip = w.buf[:0], true
			w.dropped++
		}
		if !w.skip {
			w.buf = append(w.buf, piece...)
		}
		if !ended {
			break
		}
		if err := w.flush(); err != nil {
			return 0, err
		}
		w.skip = false
	}
	return n, nil
}

// flush hands over the line so far, unless it is empty.
func (w *lineWriter) flush() error {
	line := bytes.TrimSuffix(w.buf, []byte{'\r'})
	defer func() { w.buf = w.buf[:0] }()
	if len(line) == 0 {
		return nil
	}
	return w.line(line)
}
