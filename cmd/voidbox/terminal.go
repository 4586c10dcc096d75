package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// These are assumed where nobody knows better.
const (
	defaultWidth = 100
	defaultRows  = 24
)

// isTerminal tells whether w is a terminal that can move its cursor.
func isTerminal(w io.Writer) bool { return isTTY(w) && os.Getenv("TERM") != "dumb" }

// isTTY tells whether a person reads w.
func isTTY(w io.Writer) bool {
	f, ok := unwrap(w).(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// unwrap returns what standard output really is.
func unwrap(w io.Writer) io.Writer {
	if out, ok := w.(*output); ok {
		return out.w
	}
	return w
}

// isTTYReader tells whether a person writes r.
func isTTYReader(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colour tells whether w should get colour (https://no-color.org).
func (c *cli) colour(w io.Writer) bool { return isTerminal(w) && os.Getenv("NO_COLOR") == "" }

// size returns the columns and rows of the terminal at standard error.
func (c *cli) size() (columns, rows int) {
	if f, ok := c.stderr.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return defaultWidth, defaultRows
}

// width returns the columns of the terminal at standard error.
func (c *cli) width() uint {
	columns, _ := c.size()
	return uint(columns)
}
