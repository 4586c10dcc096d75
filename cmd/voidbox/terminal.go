package main

import (
	"context"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/voidbox-run/voidbox/cmd/voidbox/internal/view"
	"github.com/voidbox-run/voidbox/core/agent"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// These are assumed where nobody knows better.
const (
	defaultWidth = 100
	defaultRows  = 24
)

// terminal lets interactive agents have this terminal; nil where there is none, or where events go to it.
func (c *cli) terminal(sink event.Sink, asJSON bool) agent.Terminal {
	if asJSON || !isTTY(c.stdout) || !isTTYReader(c.stdin) {
		return nil
	}
	return func(ctx context.Context, box sandbox.Sandbox, cmd sandbox.Command) (sandbox.Exit, error) {
		if live, ok := sink.(*view.Live); ok {
			live.Hold()
			defer live.Release()
		}
		return (&session{cli: c, box: box, command: cmd, tty: true, read: true}).exec(ctx)
	}
}

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
