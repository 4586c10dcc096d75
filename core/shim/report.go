package shim

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/run"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// A report is a line that a shim writes to the command that started it, until its sandbox is ready or has failed. One field is set.
type report struct {
	Progress *event.SandboxProgress `json:"progress,omitempty"`
	Ready    *event.SandboxReady    `json:"ready,omitempty"`
	Warning  *event.Warning         `json:"warning,omitempty"`
	Failed   *failure               `json:"failed,omitempty"`
	Serving  bool                   `json:"serving,omitempty"` // the last line of a good start
}

// failure is an error on its way to another process.
type failure struct {
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
	Exit    int    `json:"exit"`
}

// StartError says why a sandbox did not start. ExitCode is the command's, as docs/cli.md lists them.
type StartError struct {
	Err      error
	ExitCode int
}

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

func (f *failure) err() error {
	return &StartError{ExitCode: f.Exit, Err: errdef.New(errdef.ErrUnavailable, "%s", f.Message).WithRemedy("%s", f.Remedy)}
}

// reporter is the shim's end. Nobody may be listening any more; then what it says is lost, and nothing else.
type reporter struct {
	mu   sync.Mutex
	pipe *os.File
}

func (r *reporter) say(line report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pipe != nil {
		_ = json.NewEncoder(r.pipe).Encode(line)
	}
}

func (r *reporter) fail(err error) {
	r.say(report{Failed: &failure{Message: err.Error(), Remedy: errdef.Remedy(err), Exit: run.ExitCode(err)}})
}

func (r *reporter) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pipe != nil {
		r.pipe.Close()
		r.pipe = nil
	}
}

// Event implements event.Sink.
func (r *reporter) Event(e event.Event) {
	switch d := e.Data.(type) {
	case event.SandboxProgress:
		r.say(report{Progress: &d})
	case event.SandboxReady:
		r.say(report{Ready: &d})
	case event.Warning:
		r.say(report{Warning: &d})
		slog.Warn(d.Message, "remedy", d.Remedy) // later, only the log of the sandbox can tell
	case event.KeyUsed:
		slog.Warn("key used", "key", d.Key, "fingerprint", d.Fingerprint, "for", d.For, "user", d.User, "host", d.Host)
	case event.KeyRefused:
		slog.Warn("key refused", "key", d.Key, "fingerprint", d.Fingerprint, "for", d.For, "user", d.User, "host", d.Host, "reason", d.Reason)
	}
}

// listen hands on what a shim reports. It returns nil when the sandbox is served, and io.ErrUnexpectedEOF when the shim fell silent.
func listen(pipe io.Reader, name string, sink event.Sink) error {
	lines := json.NewDecoder(pipe)
	show := func(d event.Data) { sink.Event(event.Event{Time: time.Now().UTC(), Stage: name, Data: d}) }
	for {
		var line report
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
		switch {
		case line.Progress != nil:
			show(*line.Progress)
		case line.Ready != nil:
			show(*line.Ready)
		case line.Warning != nil:
			show(*line.Warning)
		case line.Failed != nil:
			return line.Failed.err()
		case line.Serving:
			return nil
		}
	}
}
