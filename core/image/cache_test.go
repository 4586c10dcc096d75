package image

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/core/image/lock"
)

func openTestCache(t *testing.T) *Cache {
	t.Helper()
	c, err := OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c.host = t.TempDir()
	c.sources = offline{}
	return c
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCacheDirectoryFollowsTheEnvironment(t *testing.T) {
	home, xdg, own := t.TempDir(), t.TempDir(), t.TempDir()
	for _, tt := range []struct{ name, own, xdg, want string }{
		{"own variable", own, xdg, own},
		{"XDG", "", xdg, filepath.Join(xdg, "voidbox")},
		{"home", "", "", filepath.Join(home, ".cache", "voidbox")},
	} {
		t.Setenv("HOME", home)
		t.Setenv("XDG_CACHE_HOME", tt.xdg)
		t.Setenv(CacheDirEnv, tt.own)
		c, err := OpenCache("")
		if err != nil {
			t.Fatal(err)
		}
		if c.Dir() != tt.want {
			t.Errorf("%s: cache in %s, want %s", tt.name, c.Dir(), tt.want)
		}
	}
}

func TestCacheThatCannotBeCreatedNamesTheRemedy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, "")
	_, err := OpenCache(filepath.Join(file, "cache"))
	if err == nil || !strings.Contains(err.Error(), CacheDirEnv) {
		t.Fatalf("%v, want an error that names %s", err, CacheDirEnv)
	}
}

func TestCacheThatOthersCanFill(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o1777); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCache(dir); err == nil || !strings.Contains(err.Error(), "every user may write") {
		t.Errorf("a directory like /tmp: %v", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCache(dir); err != nil {
		t.Errorf("a directory of one's own: %v", err)
	}
	if os.Geteuid() != 0 {
		return // only root can give a directory away
	}
	if err := os.Chown(dir, 4711, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCache(dir); err == nil || !strings.Contains(err.Error(), "belongs to user 4711") {
		t.Errorf("a directory of somebody else: %v", err)
	}
}

func TestEntryIsBuiltOnceByManyGoroutines(t *testing.T) {
	c := openTestCache(t)
	var builds atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dir, err := c.Entry(t.Context(), "kind", "key", func(_ context.Context, dir string) error {
				builds.Add(1)
				return os.WriteFile(filepath.Join(dir, "file"), []byte("whole"), 0o644)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := os.ReadFile(filepath.Join(dir, "file")); string(got) != "whole" {
				t.Errorf("entry holds %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	if n := builds.Load(); n != 1 {
		t.Errorf("built %d times", n)
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	c := openTestCache(t)
	broken := errors.New("broken")
	_, err := c.Entry(t.Context(), "kind", "key", func(_ context.Context, dir string) error {
		writeFile(t, filepath.Join(dir, "half"), "")
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	assertNoWork(t, c, "kind")
	if isDir(filepath.Join(c.Dir(), "kind", "key")) {
		t.Error("the entry exists")
	}
	_, err = c.Entry(t.Context(), "kind", "key", func(context.Context, string) error { return nil })
	if err != nil {
		t.Errorf("a second try failed: %v", err)
	}
}

// assertNoWork fails where a working directory is left, or where a kind's folder holds a half-made entry.
func assertNoWork(t *testing.T, c *Cache, kind string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(c.Dir(), kind, workPrefix+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestWorkOfTheDeadIsSweptAndOfTheLivingKept(t *testing.T) {
	c := openTestCache(t)
	parent := filepath.Join(c.Dir(), "kind")
	writeFile(t, filepath.Join(parent, workPrefix+"dead", "half"), "")
	writeFile(t, filepath.Join(parent, workPrefix+"key", "half"), "")
	writeFile(t, filepath.Join(parent, workPrefix+"living", "half"), "")
	unlock, err := lock.Try(lockPath(parent, "living"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	dir, err := c.Entry(t.Context(), "kind", "key", func(context.Context, string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if isFile(filepath.Join(dir, "half")) {
		t.Error("the entry holds what a dead builder left")
	}
	if isDir(filepath.Join(parent, workPrefix+"dead")) {
		t.Error("the work of a dead builder is still there")
	}
	if !isDir(filepath.Join(parent, workPrefix+"living")) {
		t.Error("the work of a living builder is gone")
	}
}

func TestWaiterEndsWithItsContext(t *testing.T) {
	c := openTestCache(t)
	parent := filepath.Join(c.Dir(), "kind")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock.Try(lockPath(parent, "key"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	ctx = WithProgress(ctx, func(string) { cancel() }) // it says that it waits
	_, err = c.Entry(ctx, "kind", "key", func(context.Context, string) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}

func TestEntryNamesStayInTheCache(t *testing.T) {
	c := openTestCache(t)
	for _, name := range [][2]string{{"..", "key"}, {"kind", ".."}, {"kind", "a/b"}, {"kind", ""}, {"/kind", "key"}, {"kind", ".lock"}} {
		if _, err := c.Entry(t.Context(), name[0], name[1], func(context.Context, string) error { return nil }); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

// /dev/full answers every write with ENOSPC, and needs no right to mount.
func TestFullDiskIsSaid(t *testing.T) {
	c := openTestCache(t)
	_, err := c.Entry(t.Context(), "kind", "key", func(_ context.Context, dir string) error {
		return os.WriteFile("/dev/full", []byte("x"), 0)
	})
	assertFull(t, c, err)
	assertNoWork(t, c, "kind")
}

func TestFullDiskLeavesNoInitramfs(t *testing.T) {
	mount := t.TempDir()
	if err := unix.Mount("voidbox-test", mount, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		t.Skipf("may not mount a tmpfs (%v); TestFullDiskIsSaid covers the error", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	c, err := OpenCache(mount)
	if err != nil {
		t.Fatal(err)
	}
	agent := fakeAgent(t, strings.Repeat("x", 2<<20))
	_, err = c.Initramfs(t.Context(), InitramfsSpec{Kernel: Kernel{Release: "6.1.0"}, Agent: agent, Contents: Minimal})
	assertFull(t, c, err)
	assertNoWork(t, c, "initramfs")
	entries, err := os.ReadDir(filepath.Join(mount, "initramfs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), lockSuffix) {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func assertFull(t *testing.T, c *Cache, err error) {
	t.Helper()
	var full *FullError
	if !errors.As(err, &full) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v, want a FullError", err)
	}
	for _, want := range []string{c.Dir(), "full", CacheDirEnv} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}
