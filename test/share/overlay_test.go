package share

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

// program runs voidbox as users do.
type program struct {
	t   *testing.T
	env []string
}

func (p program) run(args ...string) (stdout string, status int) {
	p.t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(p.t.Context()), filepath.Join(testbin.Dir(p.t), "voidbox"), args...)
	cmd.Env = append(os.Environ(), p.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	exit := new(exec.ExitError)
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	p.t.Logf("voidbox %s: %d\n%s%s", strings.Join(args, " "), cmd.ProcessState.ExitCode(), out.Bytes(), errs.Bytes())
	return out.String(), cmd.ProcessState.ExitCode()
}

func (p program) must(args ...string) string {
	p.t.Helper()
	out, status := p.run(args...)
	if status != 0 {
		p.t.Fatalf("voidbox %s: exit status %d", strings.Join(args, " "), status)
	}
	return out
}

// tree is a directory with all that is in it, in words.
func tree(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v %v", path, info.Mode(), info.ModTime())
		if info.Mode().IsRegular() {
			fmt.Fprintf(&b, " %q", read(t, path))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestOverlayIsShownAppliedAndDiscarded(t *testing.T) {
	testvm.Require(t)
	work := t.TempDir()
	for _, dir := range []string{"src", "old"} {
		if err := os.Mkdir(filepath.Join(work, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(work, "src", "main"), "one")
	write(t, filepath.Join(work, "old", "file"), "one")
	before := tree(t, work)

	state, err := os.MkdirTemp("", "vb") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(state)
	p := program{t, []string{"XDG_STATE_HOME=" + state}}
	p.must("sandbox", "create", "box", "--backend", "qemu", "--memory", "256MiB", "--mount", work+":/workspace:overlay")
	defer p.run("sandbox", "remove", "--force", "box")
	const work1 = `set -e; cd /workspace; echo two >> src/main; rm -r old; mkdir -p .git/hooks new; echo x > new/file
echo evil > .git/hooks/pre-commit; mv src/main src/moved; cat src/moved; ls`
	if got := p.must("exec", "box", "--", "sh", "-c", work1); got != "onetwo\nnew\nsrc\n" {
		t.Errorf("the guest sees %q", got)
	}
	if after := tree(t, work); after != before {
		t.Fatalf("the host's files have changed:\n%s\n%s", before, after)
	}

	diff := p.must("diff", "box")
	for _, line := range []string{
		"A .git/hooks/pre-commit   ! git runs it", "A new/file", "D old/", "D src/main", "A src/moved",
	} {
		if !strings.Contains(diff, "  "+line+"\n") {
			t.Errorf("diff does not say %q", line)
		}
	}
	p.must("apply", "box", "/workspace/src")
	if got := read(t, filepath.Join(work, "src", "moved")); got != "onetwo\n" {
		t.Errorf("applied: %q", got)
	}
	if _, err := os.Stat(filepath.Join(work, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("more was applied than was asked for: %v", err)
	}
	if _, status := p.run("apply", "box"); status == 0 {
		t.Error("apply says nothing of what it did not apply")
	}
	if got := read(t, filepath.Join(work, "new", "file")); got != "x\n" {
		t.Errorf("applied: %q", got)
	}
	if _, err := os.Stat(filepath.Join(work, ".git", "hooks", "pre-commit")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a hook was applied without being asked for: %v", err)
	}
	if _, status := p.run("discard", "box"); status == 0 {
		t.Error("what a sandbox uses was discarded")
	}

	// A sandbox that starts again finds what it has written.
	p.must("sandbox", "stop", "box")
	p.must("sandbox", "start", "box")
	if got := p.must("exec", "box", "--", "cat", "/workspace/.git/hooks/pre-commit"); got != "evil\n" {
		t.Errorf("after a restart: %q", got)
	}
	p.must("sandbox", "stop", "box")
	p.must("discard", "box")
	if got := p.must("diff", "box"); got != "" {
		t.Errorf("after discard: %q", got)
	}
}
