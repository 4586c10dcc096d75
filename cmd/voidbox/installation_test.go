package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/shim"
	"github.com/voidbox-run/voidbox/internal/testbin"
)

// installation is voidbox as a user has it, with directories of its own.
type installation struct {
	testing.TB
	bin string
	tmp string // all that is short-lived; short, since sockets live below it
	env []string
	*shim.Store
}

func install(t testing.TB) *installation {
	t.Helper()
	tmp, err := os.MkdirTemp("", "vb")
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	store, err := storeBelow(state)
	if err != nil {
		t.Fatal(err)
	}
	i := &installation{TB: t, bin: testbin.Dir(t), tmp: tmp, Store: store}
	i.env = append(os.Environ(), "TMPDIR="+tmp, "XDG_RUNTIME_DIR="+tmp, "XDG_STATE_HOME="+state, "TERM=xterm-256color")
	t.Cleanup(func() {
		stopAll(state)
		os.RemoveAll(tmp)
	})
	return i
}

func (i *installation) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(i.bin, "voidbox"), args...)
	cmd.Env = i.env
	return cmd
}

// run runs a command that must succeed, and returns its output.
func (i *installation) run(args ...string) string {
	i.Helper()
	cmd := i.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		i.Fatalf("voidbox %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

// connect returns the contract of a sandbox that runs.
func (i *installation) connect(name string) *shim.Client {
	i.Helper()
	b, err := i.Get(name)
	if err != nil {
		i.Fatal(err)
	}
	client, err := b.Connect()
	if err != nil {
		i.Fatal(err)
	}
	i.Cleanup(func() { client.Close() })
	return client
}

// eventually waits for what other processes do.
func (i *installation) eventually(what string, ok func() bool) {
	i.Helper()
	for deadline := time.Now().Add(safetyNet); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			i.Fatalf("never: %s", what)
		}
	}
}

// state is that of a sandbox; empty when there is none.
func (i *installation) state(name string) shim.State {
	b, err := i.Get(name)
	if err != nil {
		return ""
	}
	return b.Instance.State
}

// exitStatus is that of a command that has ended.
func exitStatus(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// transcript reads what a program writes, text by text.
type transcript struct {
	testing.TB
	r    io.Reader
	rest []byte // that came, and was not asked for yet
}

// until reads until a text has come, and returns what came before it.
func (s *transcript) until(text string) string {
	s.Helper()
	buf := make([]byte, 4096)
	for {
		if before, after, found := bytes.Cut(s.rest, []byte(text)); found {
			s.rest = after
			return string(before)
		}
		n, err := s.r.Read(buf)
		s.rest = append(s.rest, buf[:n]...)
		if err != nil && n == 0 {
			s.Fatalf("%q did not come, but %q and %v", text, s.rest, err)
		}
	}
}
