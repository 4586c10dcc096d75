package shim

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOutputIsKeptWithinBounds: the end of it, each stream by itself, byte by byte.
func TestOutputIsKeptWithinBounds(t *testing.T) {
	s := &Shim{Request: Request{Dir: t.TempDir()}}
	b := &Sandbox{dir: s.Dir}
	line := bytes.Repeat([]byte{0, 0xff, '\n', 'x'}, 16<<10)
	s.record(t.Context(), outputFile, func(_ context.Context, stdout, stderr io.Writer) error {
		for range 400 { // 25 MiB, and more in the file
			_, err := stdout.Write(line)
			must(t, err)
		}
		_, err := io.WriteString(stderr, "last words")
		must(t, err)
		return nil
	})
	var stdout, stderr bytes.Buffer
	must(t, b.Output(&stdout, &stderr))
	if n := stdout.Len(); n < maxOutput/2 || n > 2*maxOutput || n%len(line) != 0 || !bytes.HasSuffix(stdout.Bytes(), line) {
		t.Errorf("%d bytes of output are kept", n)
	}
	if stderr.String() != "last words" {
		t.Errorf("stderr: %q", stderr.String())
	}
	entries, err := os.ReadDir(s.Dir)
	must(t, err)
	for _, e := range entries {
		if info, _ := e.Info(); info.Size() > maxOutput+1<<20 {
			t.Errorf("%s has %d bytes", e.Name(), info.Size())
		}
	}
}

// TestOutputOfAShimThatWasKilled may end in the middle of a line.
func TestOutputOfAShimThatWasKilled(t *testing.T) {
	b := &Sandbox{dir: t.TempDir()}
	must(t, os.WriteFile(filepath.Join(b.dir, outputFile), []byte(`{"stream":"stdout","data":"aGk="}`+"\n"+`{"stream":"std`), 0o600))
	var stdout strings.Builder
	must(t, b.Output(&stdout, io.Discard))
	if stdout.String() != "hi" {
		t.Errorf("%q", stdout.String())
	}
}
