package image

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	reader "github.com/erofs/go-erofs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/core/image/source"
	"github.com/voidbox-run/voidbox/internal/testimage"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

func parseSource(t *testing.T, text string) source.Source {
	t.Helper()
	s, err := source.Parse(text, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// noise is content that nothing packs.
func noise(size int, seed uint64) string {
	b := make([]byte, size)
	for i := range b {
		seed = seed*6364136223846793005 + 1442695040888963407
		b[i] = byte(seed >> 56)
	}
	return string(b)
}

func testImage(t *testing.T) v1.Image {
	return testimage.Image(t, v1.Config{Entrypoint: []string{"/bin/x"}, Cmd: []string{"arg"}, User: "app"},
		testimage.Layer(t, testimage.Tar(t, testimage.File("etc/passwd", "app:x:7:8::/home/app:/bin/sh\n"), testimage.File("old", noise(1<<20, 1)), testimage.File("big", noise(3<<20, 2)))),
		testimage.Layer(t, testimage.Tar(t, testimage.File(".wh.old", ""), testimage.Program("bin/x", "#!/bin/sh\n"), testimage.Link("bin/y", "bin/x"))))
}

func readDisk(t *testing.T, img *Image) fs.FS {
	t.Helper()
	f, err := os.Open(img.Disk())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	disk, err := reader.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	return disk
}

func TestImageOfARegistry(t *testing.T) {
	c, registry := openTestCache(t), testimage.NewRegistry(t)
	name := parseSource(t, registry.Push(t, "some/image:v1", testImage(t)))
	img, err := c.Image(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if img.Config.Entrypoint[0] != "/bin/x" || img.Config.User != "app" || len(img.Layers) != 2 || img.Digest == "" {
		t.Errorf("%+v", img)
	}
	if passwd, group := img.Accounts(); !strings.HasPrefix(string(passwd), "app:x:7:8:") || group != nil {
		t.Errorf("accounts %q, %q", passwd, group)
	}
	disk := readDisk(t, img)
	if content, err := fs.ReadFile(disk, "big"); err != nil || string(content) != noise(3<<20, 2) {
		t.Errorf("big: %d bytes, %v", len(content), err)
	}
	if _, err := fs.Stat(disk, "old"); err == nil {
		t.Error("what a layer hides is there")
	}
	if img.Used >= img.Bytes-(1<<20)+(64<<10) {
		t.Errorf("what a layer hides takes room: %d bytes of %d", img.Used, img.Bytes)
	}
	if info, err := os.Stat(img.Disk()); err != nil || info.Mode().Perm() != 0o444 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	// From now on nobody needs the registry.
	registry.Misbehave(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusNotFound) })
	again, err := c.Image(t.Context(), name)
	if err != nil || again.Disk() != img.Disk() {
		t.Errorf("from the cache: %v", err)
	}
	if _, err := c.Pull(t.Context(), name); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("pull: %v", err)
	}
}

// A tag that moves is followed by a pull, and by nothing else.
func TestTagThatMoves(t *testing.T) {
	c, registry := openTestCache(t), testimage.NewRegistry(t)
	name := parseSource(t, registry.Push(t, "some/image:v1", testImage(t)))
	first, err := c.Image(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	registry.Push(t, "some/image:v1", testimage.Image(t, v1.Config{Entrypoint: []string{"/new"}}, testimage.Layer(t, testimage.Tar(t, testimage.File("new", "x")))))
	if img, err := c.Image(t.Context(), name); err != nil || img.ID != first.ID {
		t.Errorf("without a pull: %v", err)
	}
	second, err := c.Pull(t.Context(), name)
	if err != nil || second.ID == first.ID {
		t.Fatalf("pull: %v", err)
	}
	if img, err := c.Image(t.Context(), name); err != nil || img.ID != second.ID {
		t.Errorf("after a pull: %v", err)
	}
	p, err := c.Prune(t.Context(), false)
	if err != nil || p.Images != 1 || p.Downloads != 3 {
		t.Errorf("prune: %+v, %v", p, err)
	}
	if list, err := c.Images(); err != nil || len(list) != 1 || list[0].ID != second.ID {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestTwoPullsOfOneImage(t *testing.T) {
	c, registry := openTestCache(t), testimage.NewRegistry(t)
	name := parseSource(t, registry.Push(t, "some/image:v1", testImage(t)))
	var made atomic.Int64
	ctx := WithProgress(t.Context(), func(line string) {
		if strings.HasPrefix(line, "making a disk") {
			made.Add(1)
		}
	})
	var all sync.WaitGroup
	for range 4 {
		other, err := OpenCache(c.Dir())
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			if _, err := other.Image(ctx, name); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("the disk was made %d times", made.Load())
	}
}

func TestImagesThatMustNotBecomeADisk(t *testing.T) {
	c, registry := openTestCache(t), testimage.NewRegistry(t)
	tar := func(entries ...testimage.Entry) v1.Layer { return testimage.Layer(t, testimage.Tar(t, entries...)) }
	cut := testimage.Tar(t, testimage.File("a", noise(100_000, 3)))[:50_000]
	for what, layer := range map[string]v1.Layer{
		"escape":      tar(testimage.File("../../etc/passwd", "x")),
		"cut":         testimage.Layer(t, cut),
		"not an tar":  testimage.Layer(t, []byte(noise(5000, 4))),
		"bad link":    tar(testimage.Link("a", "nowhere")),
		"link circle": tar(testimage.Symlink("a", "b"), testimage.Symlink("b", "a"), testimage.File("a/b/c", "")),
	} {
		name := parseSource(t, registry.Push(t, "bad:1", testimage.Image(t, v1.Config{}, tar(testimage.File("good", "x")), layer)))
		_, err := c.Pull(t.Context(), name)
		var e *errdef.Error
		if !errors.As(err, &e) || !errors.Is(err, errdef.ErrInvalid) || e.Reason != "image_damaged" || e.Remedy == "" {
			t.Errorf("%s: %v", what, err)
		}
		t.Logf("%s: %v", what, err)
		assertNoImages(t, c)
	}
}

func assertNoImages(t *testing.T, c *Cache) {
	t.Helper()
	if list, err := c.Images(); err != nil || len(list) != 0 {
		t.Errorf("images are left: %+v, %v", list, err)
	}
	assertNoWork(t, c, imageKind)
	if parts, _ := filepath.Glob(filepath.Join(c.dir, "blobs", "sha256", "*.part")); len(parts) > 0 {
		t.Errorf("parts are left: %v", parts)
	}
}

func TestFullDiskLeavesNoImage(t *testing.T) {
	mount := t.TempDir()
	if err := unix.Mount("voidbox-test", mount, "tmpfs", 0, "size=2m,mode=0700"); err != nil {
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
	registry := testimage.NewRegistry(t)
	noisy := testimage.Image(t, v1.Config{}, testimage.Layer(t, testimage.Tar(t, testimage.File("a", noise(5<<20, 5)))))
	_, err = c.Pull(t.Context(), parseSource(t, registry.Push(t, "noisy:1", noisy)))
	assertFull(t, c, err)
	assertNoImages(t, c)
	// One that is small as a download and large as a disk.
	text := testimage.Image(t, v1.Config{}, testimage.Layer(t, testimage.Tar(t, testimage.File("a", strings.Repeat("voidbox ", 1<<20)))))
	_, err = c.Pull(t.Context(), parseSource(t, registry.Push(t, "text:1", text)))
	assertFull(t, c, err)
	assertNoImages(t, c)
}

func TestCanceledPullLeavesNoImage(t *testing.T) {
	c, registry := openTestCache(t), testimage.NewRegistry(t)
	name := parseSource(t, registry.Push(t, "some/image:v1", testImage(t)))
	ctx, cancel := context.WithCancel(t.Context())
	ctx = WithProgress(ctx, func(line string) {
		if strings.HasPrefix(line, "making a disk") {
			cancel()
		}
	})
	if _, err := c.Pull(ctx, name); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	assertNoWork(t, c, imageKind)
	if _, err := c.Pull(t.Context(), name); err != nil {
		t.Errorf("and again: %v", err)
	}
}

func TestDirectoryIsLookedAtAgain(t *testing.T) {
	c, dir := openTestCache(t), t.TempDir()
	writeFile(t, filepath.Join(dir, "etc", "passwd"), "app:x:7:8::/home/app:/bin/sh\n")
	writeFile(t, filepath.Join(dir, "bin", "a"), "one")
	if err := os.Link(filepath.Join(dir, "bin", "a"), filepath.Join(dir, "bin", "b")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../outside", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := c.Image(t.Context(), parseSource(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	disk := readDisk(t, first)
	a, err := fs.Stat(disk, "bin/a")
	if err != nil || a.Sys().(*reader.Stat).Nlink != 2 {
		t.Errorf("bin/a: %+v, %v", a, err)
	}
	if target, err := fs.ReadLink(disk, "link"); err != nil || target != "../../outside" {
		t.Errorf("link: %q, %v", target, err)
	}
	if again, err := c.Image(t.Context(), parseSource(t, dir)); err != nil || again.ID != first.ID {
		t.Errorf("the same: %v", err)
	}
	writeFile(t, filepath.Join(dir, "bin", "a"), "two")
	second, err := c.Image(t.Context(), parseSource(t, dir))
	if err != nil || second.ID == first.ID {
		t.Fatalf("changed: %v", err)
	}
	if content, err := fs.ReadFile(readDisk(t, second), "bin/b"); err != nil || string(content) != "two" {
		t.Errorf("%q, %v", content, err)
	}
}

func TestImageOfADirectoryThatIsGone(t *testing.T) {
	c, dir := openTestCache(t), filepath.Join(t.TempDir(), "rootfs")
	writeFile(t, filepath.Join(dir, "file"), "x")
	img, err := c.Image(t.Context(), parseSource(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := c.Prune(t.Context(), false); err != nil || p.Images != 0 {
		t.Errorf("while it is there: %+v, %v", p, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Prune(t.Context(), false); err != nil || p.Images != 1 {
		t.Errorf("once it is gone: %+v, %v", p, err)
	}
	if _, err := os.Stat(img.Disk()); err == nil {
		t.Error("its disk is still there")
	}
}

func TestDamagedDiskIsNotUsed(t *testing.T) {
	c := openTestCache(t)
	layout := parseSource(t, testimage.Layout(t, map[string]v1.Image{"v1": testImage(t)}))
	img, err := c.Image(t.Context(), layout)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(img.Disk(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(img.Disk(), 4096); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Image(t.Context(), layout); err == nil || !strings.Contains(errdef.Remedy(err), "voidbox image remove") {
		t.Fatalf("error %v", err)
	}
	if _, err := c.RemoveImage(t.Context(), img.ShortID()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Image(t.Context(), layout); err != nil {
		t.Error(err)
	}
}
