//go:build linux

package overlay

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/share"
)

// world is a mount with a lower and an upper directory.
type world struct {
	t *testing.T
	Mount
	dir string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.Mount = Mount{Sandbox: "box", Target: "/workspace", Source: t.TempDir()}
	upper, err := Prepare(w.dir, 0, w.Mount)
	if err != nil {
		t.Fatal(err)
	}
	w.Upper = upper
	return w
}

func (w *world) write(root, path, text string) {
	w.t.Helper()
	full := filepath.Join(root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
		w.t.Fatal(err)
	}
}

// mark writes a record, as the share plugin does.
func (w *world) mark(path string, r share.Record) {
	w.t.Helper()
	full := filepath.Join(w.Upper, path)
	if r.Has&(share.Whiteout|share.HasKind) != 0 {
		w.write(w.Upper, path, "")
	}
	if err := unix.Lsetxattr(full, share.RecordName, r.Encode(), 0); err != nil {
		w.t.Fatal(err)
	}
}

// short shows changes as a map of paths.
func (w *world) short() map[string]string {
	w.t.Helper()
	changes, err := w.Changes()
	if err != nil {
		w.t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range changes {
		got[c.Path] = string(c.Kind)
		for _, f := range c.Flags {
			got[c.Path] += ", " + f
		}
	}
	return got
}

func TestChangesAreFoundFlaggedAndApplied(t *testing.T) {
	w := newWorld(t)
	for path, text := range map[string]string{
		"same": "1", "edited": "1", "gone": "1", "dir/gone": "1", "dir/stays": "1", "swap/old": "1", "replaced": "1", "hollow/x": "1", "touched": "1",
	} {
		w.write(w.Source, path, text)
	}
	w.write(w.Upper, "same", "1")
	w.write(w.Upper, "edited", "2")
	w.write(w.Upper, "new/deep/file", "3")
	w.write(w.Upper, "swap/new", "4")
	w.write(w.Upper, "replaced/by dir", "5")
	w.write(w.Upper, "hollow", "a file now")
	w.write(w.Upper, ".git/hooks/pre-commit", "#!/bin/sh")
	w.write(w.Upper, ".github/workflows/ci.yml", "on: push")
	w.write(w.Upper, "sub/.vscode/tasks.json", "{}")
	if err := os.Truncate(filepath.Join(w.Upper, "new/deep/file"), 3); err != nil {
		t.Fatal(err)
	}
	w.write(w.Upper, "hole", "")
	if err := os.Truncate(filepath.Join(w.Upper, "hole"), 1<<40); err != nil {
		t.Fatal(err)
	}
	w.mark("gone", share.Record{Has: share.Whiteout})
	w.mark("never was", share.Record{Has: share.Whiteout})
	w.mark("dir/gone", share.Record{Has: share.Whiteout})
	w.mark("swap", share.Record{Has: share.Opaque})
	w.mark("pipe", share.Record{Has: share.HasKind, Kind: unix.S_IFIFO})
	if err := errors.Join(os.Symlink("../../etc/passwd", filepath.Join(w.Upper, "out")), os.Symlink("edited", filepath.Join(w.Upper, "in")),
		os.Chmod(filepath.Join(w.Upper, "same"), 0o755)); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"same": "modified", "edited": "modified", "new": "added", "new/deep": "added", "new/deep/file": "added", "swap/new": "added",
		"swap/old": "removed", "replaced": "modified", "replaced/by dir": "added", "hollow": "modified", "gone": "removed", "dir/gone": "removed",
		".git": "added", ".git/hooks": "added, git runs it", ".git/hooks/pre-commit": "added, git runs it",
		".github": "added, CI runs it", ".github/workflows": "added, CI runs it", ".github/workflows/ci.yml": "added, CI runs it",
		"sub": "added", "sub/.vscode": "added, an editor acts on it", "sub/.vscode/tasks.json": "added, an editor acts on it",
		"hole": "added, is mostly a hole, which takes its whole size when it is applied",
		"pipe": "added, is no file, and cannot be applied", "out": "added, leads out of the mount", "in": "added",
	}
	if diff := cmp.Diff(want, w.short()); diff != "" {
		t.Fatal(diff)
	}

	changes, err := w.Changes()
	if err != nil {
		t.Fatal(err)
	}
	var plain []Change
	for _, c := range changes {
		if len(c.Flags) == 0 {
			plain = append(plain, c)
		}
	}
	if err := w.Apply(plain); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		"same": "1", "edited": "2", "new/deep/file": "3\x00\x00", "swap/new": "4", "replaced/by dir": "5", "hollow": "a file now", "dir/stays": "1", "in": "2",
	} {
		if got, err := os.ReadFile(filepath.Join(w.Source, path)); err != nil || string(got) != text {
			t.Errorf("%s holds %q, %v", path, got, err)
		}
	}
	for _, path := range []string{"gone", "dir/gone", "swap/old", "out", "pipe", ".github"} {
		if _, err := os.Lstat(filepath.Join(w.Source, path)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
	for path := range w.short() {
		if c := want[path]; c == "added" || c == "modified" || c == "removed" {
			t.Errorf("%s is still a change", path)
		}
	}
}

func TestOneFileIsApplied(t *testing.T) {
	w := newWorld(t)
	w.write(w.Upper, "a/b/c", "1")
	w.write(w.Upper, "a/b/d", "1")
	changes, err := w.Changes()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.Path != "a/b/c" {
			continue
		}
		if err := w.Apply([]Change{c}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]string{"a/b/d": "added"}, w.short()); diff != "" {
		t.Error(diff)
	}
}

// A guest that is root can put anything into the upper directory while it is read.
func TestNothingLeadsOut(t *testing.T) {
	w := newWorld(t)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(w.Source, "link")); err != nil {
		t.Fatal(err)
	}
	w.write(w.Upper, "link/planted", "1")
	changes, err := w.Changes()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Apply(changes); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("%v outside the mount", left)
	}
	if _, err := os.Stat(filepath.Join(w.Source, "link", "planted")); err != nil {
		t.Error(err)
	}
	// And of a directory that becomes a link after it was looked at.
	late := []Change{{Path: "hole/planted", Kind: Added, Mode: 0o644}}
	w.write(w.Upper, "hole/planted", "1")
	if err := os.Symlink(outside, filepath.Join(w.Source, "hole")); err != nil {
		t.Fatal(err)
	}
	_ = w.Apply(late)
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("%v outside the mount", left)
	}
}

func TestDiscardWaitsForNobody(t *testing.T) {
	w := newWorld(t)
	w.write(w.Upper, "a/file", "1")
	if err := os.Chmod(filepath.Join(w.Upper, "a"), 0); err != nil {
		t.Fatal(err)
	}
	release, err := Hold(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := Discard(w.dir); !errors.Is(err, errdef.ErrState) {
		t.Errorf("while it is used: %v", err)
	}
	release()
	if err := Discard(w.dir); err != nil {
		t.Fatal(err)
	}
	if mounts, err := Load(w.dir); err != nil || len(mounts) > 0 {
		t.Errorf("%v is left, %v", mounts, err)
	}
}

func TestAnotherDirectoryIsNotMixedIn(t *testing.T) {
	w := newWorld(t)
	other := w.Mount
	other.Source = t.TempDir()
	if _, err := Prepare(w.dir, 0, other); !errors.Is(err, errdef.ErrState) {
		t.Errorf("error %v", err)
	}
	if again, err := Prepare(w.dir, 0, w.Mount); err != nil || again != w.Upper {
		t.Errorf("%s, %v", again, err)
	}
}
