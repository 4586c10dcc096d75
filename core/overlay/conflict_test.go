//go:build linux

package overlay

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/voidbox-run/voidbox/sdk/share"
)

// applier names the directory whose changes a process of ours applies, instead of running tests.
const applier = "VOIDBOX_TEST_APPLY"

func TestMain(m *testing.M) {
	dir := os.Getenv(applier)
	if dir == "" {
		os.Exit(m.Run())
	}
	mounts, err := Load(dir)
	for _, m := range mounts {
		var changes []Change
		if changes, err = m.Changes(); err == nil {
			err = m.Apply(changes)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// tick waits until what is changed now gets a later time than what was changed before.
func tick(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clock")
	touch := func() time.Time {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return ctimeOf(info)
	}
	for start := touch(); !touch().After(start); { // a tick of the kernel's clock, 1 to 10 ms
	}
}

func TestWhatTheHostChangesMeanwhileIsAConflict(t *testing.T) {
	const changed = ", the host has changed it since"
	w := newWorld(t)
	for _, path := range []string{"edited", "both", "gone", "gone too", "old/file", "old2/file", "swap/file"} {
		w.write(w.Source, path, "1")
	}
	tick(t)
	for _, path := range []string{"edited", "both", "new for both"} {
		w.write(w.Upper, path, "guest's")
	}
	for _, path := range []string{"gone", "gone too", "old", "old2"} {
		w.mark(path, share.Record{Has: share.Whiteout})
	}
	w.write(w.Upper, "swap/other", "guest's")
	w.mark("swap", share.Record{Has: share.Opaque})
	tick(t)
	for _, path := range []string{"both", "new for both", "gone too", "old2/another", "swap/file"} {
		w.write(w.Source, path, "host's")
	}
	want := map[string]string{
		"edited": "modified", "both": "modified" + changed, "new for both": "modified" + changed, "gone": "removed", "gone too": "removed" + changed,
		"old": "removed", "old2": "removed" + changed, "swap/other": "added", "swap/file": "removed" + changed,
	}
	if diff := cmp.Diff(want, w.short()); diff != "" {
		t.Fatal(diff)
	}

	// What is applied is a change of the host's file, and no conflict with what the guest does next.
	changes, err := w.Changes()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Apply(changes); err != nil {
		t.Fatal(err)
	}
	if left := w.short(); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	w.write(w.Upper, "edited", "guest's next")
	w.write(w.Upper, "both", "guest's next")
	tick(t)
	w.write(w.Source, "both", "host's next")
	if diff := cmp.Diff(map[string]string{"edited": "modified", "both": "modified" + changed}, w.short()); diff != "" {
		t.Error(diff)
	}
}

func TestPermissionsAreThoseThatTheGuestSees(t *testing.T) {
	w := newWorld(t)
	w.write(w.Source, "same", "1")
	w.write(w.Upper, "same", "1")
	w.write(w.Upper, "cache/module/file", "1")
	for path, perm := range map[string]uint32{"same": 0o444, "cache/module/file": 0o400, "cache/module": 0o555, "cache": 0o555} {
		info, err := os.Stat(filepath.Join(w.Upper, path))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(w.Upper, path), fs.FileMode(perm|share.OwnerNeeds(info.IsDir()))); err != nil {
			t.Fatal(err)
		}
		w.mark(path, share.Record{Has: share.HasPerm, Perm: perm})
	}
	if err := os.Chmod(filepath.Join(w.Source, "same"), 0o444); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"cache": "added", "cache/module": "added", "cache/module/file": "added"}, w.short()); diff != "" {
		t.Fatal(diff)
	}
	changes, err := w.Changes()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Apply(changes); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{"cache": 0o555, "cache/module": 0o555, "cache/module/file": 0o400} {
		if info, err := os.Stat(filepath.Join(w.Source, path)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

// An apply that is killed leaves each file as it was, or as it will be, and the next one cleans up.
func TestKilledApplyLeavesWholeFiles(t *testing.T) {
	const files, size = 200, 256 << 10
	old, now := bytes.Repeat([]byte("o"), size), bytes.Repeat([]byte("n"), size)
	name := func(i int) string { return fmt.Sprintf("dir/f%03d", i) }
	killed := 0
	for _, killAt := range []int{0, 20, 120, 0, 0} { // a busy machine may be too late for some
		w := newWorld(t)
		for i := range files {
			w.write(w.Source, name(i), string(old))
			w.write(w.Upper, name(i), string(now))
		}
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), applier+"="+w.dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for first(t, w, name(killAt)) != 'n' {
			time.Sleep(time.Millisecond)
		}
		_ = cmd.Process.Kill()
		if err := <-ended; err != nil {
			killed++
		}
		applied := 0
		for i := range files {
			got, err := os.ReadFile(filepath.Join(w.Source, name(i)))
			switch {
			case err != nil:
				t.Fatal(err)
			case bytes.Equal(got, now):
				applied++
			case !bytes.Equal(got, old):
				t.Fatalf("%s is neither the old file nor the new one", name(i))
			}
		}
		t.Logf("killed after %d of %d", applied, files)
		changes, err := w.Changes()
		if err != nil || len(changes) != files-applied {
			t.Fatalf("%d changes are left, %v", len(changes), err)
		}
		if err := w.Apply(changes); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(filepath.Join(w.Source, "dir"))
		if err != nil || len(entries) != files {
			t.Errorf("%d files, %v", len(entries), err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".voidbox-") {
				t.Errorf("%s is left", e.Name())
			}
		}
	}
	if killed == 0 {
		t.Error("none was killed before its end")
	}
}

func first(t *testing.T, w *world, path string) byte {
	t.Helper()
	f, err := os.Open(filepath.Join(w.Source, path))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.Read(b); err != nil {
		t.Fatal(err)
	}
	return b[0]
}
