package pluginhost

import (
	"fmt"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Reasons of errors, for programs; see errdef.Error.
const (
	ReasonNotFound      = "plugin_not_found"
	ReasonNotExecutable = "plugin_not_executable"
	ReasonHash          = "plugin_hash"
	ReasonVersion       = "plugin_version"
	ReasonProtocol      = "plugin_protocol"
	ReasonHandshake     = "plugin_handshake"
	ReasonTimeout       = "plugin_timeout"
	ReasonDescribe      = "plugin_describe"
	ReasonPeer          = "plugin_peer"
	ReasonMessage       = "plugin_message"
)

// ExitError says that a plugin's process ended when nobody had asked it to.
type ExitError struct {
	Plugin string   // kind and name, such as llm-echo
	When   string   // such as "before the handshake"; empty means while it served
	Status string   // such as "exit status 2" or "signal: killed"
	Stderr []string // its last lines, cleaned
}

// shownLines bounds the part of Stderr that the message repeats.
const shownLines = 5

func (e *ExitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "plugin %s died", e.Plugin)
	if e.When != "" {
		b.WriteString(" " + e.When)
	}
	fmt.Fprintf(&b, " (%s)", e.Status)
	if lines := e.lastWords(); len(lines) > 0 {
		b.WriteString("; it said: " + strings.Join(lines, " | "))
	}
	return b.String()
}

// lastWords returns the lines that tell most: the head of a panic, since a stack trace follows it, or else the end.
func (e *ExitError) lastWords() []string {
	for n, line := range e.Stderr {
		if isPanic(line) {
			return e.Stderr[n:min(n+shownLines, len(e.Stderr))]
		}
	}
	return e.Stderr[max(0, len(e.Stderr)-shownLines):]
}

// Unwrap makes a death errdef.ErrUnavailable.
func (e *ExitError) Unwrap() error { return errdef.ErrUnavailable }

func isPanic(line string) bool {
	return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")
}
