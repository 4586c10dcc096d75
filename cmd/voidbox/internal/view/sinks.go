package view

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/voidbox-run/voidbox/core/event"
)

// JSON writes one event a line.
type JSON struct{ encoder *json.Encoder }

// NewJSON returns a sink that writes to w.
func NewJSON(w io.Writer) *JSON {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return &JSON{encoder: encoder}
}

// Event writes the event. A reader that went away ends the program through SIGPIPE, so the error has nobody to go to.
func (j *JSON) Event(e event.Event) { _ = j.encoder.Encode(e) }

// Plain writes lines without a cursor movement among them.
type Plain struct{ writer writer }

// NewPlain returns a sink that writes to w, and a main process's standard output to stdout.
func NewPlain(w, stdout io.Writer) *Plain {
	return &Plain{writer{stdout: stdout, emit: func(line string) { fmt.Fprintln(w, line) }}}
}

// Event writes the event's lines.
func (p *Plain) Event(e event.Event) {
	if d, ok := e.Data.(event.SandboxProgress); ok {
		if words := stepWords(d.Step); words != "" {
			p.writer.line(e.Stage, clean(d.Sandbox)+": "+clean(words))
		}
		return
	}
	p.writer.event(e)
}
