package main

import (
	"io"
	"sync"
)

// output is standard output. It remembers the first write that failed, so that a result that went nowhere is not called a
// success. A reader that went away is another matter: SIGPIPE ends the program.
type output struct {
	mu  sync.Mutex
	w   io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = err
		}
	}
	return n, err
}

// lost returns the first error.
func (o *output) lost() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// logWriter is standard error, or the live view while it has the screen: a line that is written beside it would break its footer.
type logWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *logWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// through sends what follows to w.
func (l *logWriter) through(w io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w = w
}
