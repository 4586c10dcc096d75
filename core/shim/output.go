package shim

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxOutput bounds one of the two files in which what a sandbox writes is kept.
const maxOutput = 8 << 20

// entry is a piece of output: a line of the file.
type entry struct {
	Time   time.Time `json:"time"`
	Stream string    `json:"stream"` // stdout or stderr
	Data   []byte    `json:"data"`
}

// recorder keeps the end of what a sandbox writes, for those who ask when it is no more.
type recorder struct {
	path string

	mu      sync.Mutex
	file    *os.File
	written int
}

// record keeps what source copies until it is through. Failures are noted, and stop nothing.
func (s *Shim) record(ctx context.Context, name string, source func(ctx context.Context, stdout, stderr io.Writer) error) {
	r := &recorder{path: filepath.Join(s.Dir, name)}
	_ = os.Remove(r.older())
	if err := r.open(); err != nil {
		slog.Error("keep what the sandbox writes", "file", name, "error", err)
		return
	}
	defer func() { r.file.Close() }()
	if err := source(ctx, r.stream("stdout"), r.stream("stderr")); err != nil && ctx.Err() == nil {
		slog.Debug("what the sandbox writes broke off", "file", name, "error", err)
	}
}

func (r *recorder) older() string { return r.path + ".1" }

func (r *recorder) open() (err error) {
	r.file, err = os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	r.written = 0
	return err
}

func (r *recorder) stream(name string) io.Writer { return recordedStream{r, name} }

type recordedStream struct {
	*recorder
	name string
}

// Write never fails: what cannot be kept must not stop the process that wrote it.
func (s recordedStream) Write(p []byte) (int, error) {
	line, err := json.Marshal(entry{time.Now().UTC(), s.name, p})
	if err != nil {
		return len(p), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.written+len(line) > maxOutput && os.Rename(s.path, s.older()) == nil {
		s.file.Close()
		if s.open() != nil {
			s.file, _ = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		}
	}
	n, _ := s.file.Write(append(line, '\n'))
	s.written += n
	return len(p), nil
}

// Output copies what the main process of a sandbox wrote when it last ran, as far as it was kept.
func (b *Sandbox) Output(stdout, stderr io.Writer) error { return b.replay(outputFile, stdout, stderr) }

// Console copies what the VM wrote to its console when it last ran, as far as it was kept.
func (b *Sandbox) Console(w io.Writer) error { return b.replay(consoleFile, w, w) }

func (b *Sandbox) replay(name string, stdout, stderr io.Writer) error {
	for _, name := range []string{name + ".1", name} {
		if err := replay(filepath.Join(b.dir, name), stdout, stderr); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s of sandbox %s: %w", name, b.Name, err)
		}
	}
	return nil
}

func replay(path string, stdout, stderr io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := json.NewDecoder(bufio.NewReader(io.LimitReader(f, 2*maxOutput)))
	for {
		var e entry
		err := lines.Decode(&e)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil // the last line may be cut: the shim was killed
		}
		if err != nil {
			return err
		}
		w := stdout
		if e.Stream == "stderr" {
			w = stderr
		}
		if _, err := w.Write(e.Data); err != nil {
			return err
		}
	}
}
