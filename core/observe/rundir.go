package observe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/voidbox-run/voidbox/core/event"
)

// eventsFile is also what a run that lives holds locked.
const eventsFile = "events.jsonl"

// Limits of a run directory.
const (
	MaxEventsBytes    = 256 << 20
	MaxArtefactsBytes = 256 << 20
)

// RunDir is the directory of one run. It is a sink of events. Safe for concurrent use.
type RunDir struct {
	path string

	mu        sync.Mutex
	events    *os.File
	written   int64 // bytes of events
	artefacts int64 // bytes of artefacts
	full      bool
	err       error // the first that writing events met
}

// DefaultDir is where run directories stand: $XDG_STATE_HOME/voidbox/runs, or below ~/.local/state.
func DefaultDir() (string, error) {
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find a place for run directories (set XDG_STATE_HOME): %w", err)
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "voidbox", "runs"), nil
}

// CreateRunDir makes a run directory. Its parents may exist, it itself may exist only empty.
func CreateRunDir(path string) (*RunDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make the run directory: %w; set XDG_STATE_HOME or --run-dir to a directory that you can write to", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("look into the run directory: %w", err)
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("the run directory %s is not empty", path)
	}
	events, err := os.OpenFile(filepath.Join(path, eventsFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the run directory: %w", err)
	}
	if err := hold(events); err != nil {
		events.Close()
		return nil, fmt.Errorf("make the run directory: lock it: %w", err)
	}
	return &RunDir{path: path, events: events}, nil
}

// Path is the path of the directory.
func (d *RunDir) Path() string { return d.path }

// Event writes an event. Pieces of a text are left out, since the whole text follows them. When the file has reached its limit,
// only the events that say how stages and the run ended are still written.
func (d *RunDir) Event(e event.Event) {
	if text, ok := e.Data.(event.Text); ok && text.Partial {
		return
	}
	line, err := json.Marshal(e)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil || d.events == nil {
		return
	}
	if err != nil {
		d.err = fmt.Errorf("write event %d: %w", e.Seq, err)
		return
	}
	if !d.fits(e, len(line)+1) {
		return
	}
	if _, err := d.events.Write(append(line, '\n')); err != nil {
		d.err = fmt.Errorf("write events: %w", err)
		return
	}
	d.written += int64(len(line)) + 1
}

func (d *RunDir) fits(e event.Event, size int) bool {
	switch e.Data.(type) {
	case event.StageFinished, event.RunFinished:
		return true
	}
	d.full = d.full || d.written+int64(size) > MaxEventsBytes
	return !d.full
}

// Err returns the first error that writing events met.
func (d *RunDir) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil && d.full {
		return fmt.Errorf("events.jsonl reached its limit of %d bytes; later events are missing", MaxEventsBytes)
	}
	return d.err
}

// WriteResult writes result.json.
func (d *RunDir) WriteResult(result any) error {
	return writeDocument(filepath.Join(d.path, "result.json"), result)
}

// WriteArtefact writes a file below artefacts/<stage>.
func (d *RunDir) WriteArtefact(stage, name string, content []byte) error {
	d.mu.Lock()
	d.artefacts += int64(len(content))
	full := d.artefacts > MaxArtefactsBytes
	d.mu.Unlock()
	if full {
		return fmt.Errorf("write artefact %s: the artefacts of a run are limited to %d bytes", name, MaxArtefactsBytes)
	}
	dir := filepath.Join(d.path, "artefacts", fileName(stage))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write artefact %s: %w", name, err)
	}
	return replaceFile(filepath.Join(dir, fileName(name)), content)
}

// Close ends the writing of events.
func (d *RunDir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.events == nil {
		return nil
	}
	err := d.events.Close()
	d.events = nil
	return err
}

var notInFileName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// fileName makes a plain file name of a stage's ID or a guest's path. Where that takes something away, a digest tells names apart
// that would be one.
func fileName(s string) string {
	name := strings.Trim(notInFileName.ReplaceAllString(s, "_"), "._")
	if len(name) > 100 {
		name = name[:100]
	}
	if name == s {
		return name
	}
	sum := sha256.Sum256([]byte(s))
	return strings.TrimPrefix(name+"-"+hex.EncodeToString(sum[:4]), "-")
}

// replaceFile puts a file in place whole.
func replaceFile(path string, content []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", filepath.Base(path), err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has been renamed
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
