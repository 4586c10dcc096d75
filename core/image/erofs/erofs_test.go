package erofs_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	reader "github.com/erofs/go-erofs"

	"github.com/voidbox-run/voidbox/core/image/erofs"
)

// writeImage writes a tree that build makes, and returns the image's path.
func writeImage(t *testing.T, build func(w *erofs.Writer, a *erofs.Appender) *erofs.Node) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.erofs")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := erofs.NewWriter(f)
	a := w.NewAppender()
	root := build(w, a)
	if err := a.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(root, [16]byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	return path
}

func dir(children map[string]*erofs.Node) *erofs.Node {
	return &erofs.Node{Mode: erofs.Dir | 0o755, Children: children}
}

func file(t *testing.T, a *erofs.Appender, content []byte) *erofs.Node {
	t.Helper()
	c, err := a.Append(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return &erofs.Node{Mode: erofs.Regular | 0o644, Content: c}
}

// fsck lets the format's own tools judge an image.
func fsck(t *testing.T, path string) {
	t.Helper()
	tool, err := exec.LookPath("fsck.erofs")
	if err != nil {
		if os.Getenv("VOIDBOX_REQUIRE_VM") == "1" {
			t.Fatal("fsck.erofs is missing: install erofs-utils")
		}
		t.Log("fsck.erofs is missing: install erofs-utils")
		return
	}
	out, err := exec.CommandContext(t.Context(), tool, "--extract", path).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("<W>")) || bytes.Contains(out, []byte("<E>")) {
		t.Fatalf("fsck.erofs: %v\n%s", err, out)
	}
}

func open(t *testing.T, path string) fs.FS {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	image, err := reader.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestSizesOfFiles(t *testing.T) {
	sizes := []int{0, 1, 31, 2047, 2048, 2049, 4032, 4095, 4096, 4097, 8192, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3<<20 + 5}
	want := map[string][]byte{}
	path := writeImage(t, func(_ *erofs.Writer, a *erofs.Appender) *erofs.Node {
		children := map[string]*erofs.Node{}
		rnd := rand.NewChaCha8([32]byte{7})
		for _, size := range sizes {
			content := make([]byte, size)
			rnd.Read(content)
			name := fmt.Sprint("f", size)
			want[name] = content
			children[name] = file(t, a, content)
		}
		want["zeros"] = make([]byte, 5<<20)
		children["zeros"] = file(t, a, want["zeros"])
		return dir(children)
	})
	fsck(t, path)
	image := open(t, path)
	for name, content := range want {
		got, err := fs.ReadFile(image, name)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(content))
		}
	}
}

func TestEveryTypeModeAndOwner(t *testing.T) {
	path := writeImage(t, func(_ *erofs.Writer, a *erofs.Appender) *erofs.Node {
		suid := file(t, a, []byte("suid"))
		suid.Mode, suid.UID, suid.GID, suid.Seconds, suid.Nanoseconds = erofs.Regular|0o6755, 70000, 1<<31, 1_600_000_000, 123
		suid.Xattrs = map[string]string{"security.capability": "\x01\x00\x00\x02", "user.note": "hello", "system.posix_acl_access": "acl", "trusted.t": ""}
		return dir(map[string]*erofs.Node{
			"suid":  suid,
			"again": suid,
			"null":  {Mode: erofs.Char | 0o666, Major: 1, Minor: 3},
			"big":   {Mode: erofs.Block | 0o600, Major: 259, Minor: 0x12345},
			"pipe":  {Mode: erofs.FIFO | 0o600},
			"sock":  {Mode: erofs.Socket | 0o600},
			"link":  {Mode: erofs.Symlink | 0o777, Target: "../../etc/passwd"},
			"long":  {Mode: erofs.Symlink | 0o777, Target: strings.Repeat("x/", 2047)},
			"dir":   {Mode: erofs.Dir | 0o1777, Children: map[string]*erofs.Node{"sub": dir(nil), "hard": suid}},
		})
	})
	fsck(t, path)
	image := open(t, path)
	stat := func(name string) *reader.Stat {
		info, err := fs.Lstat(image, name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*reader.Stat)
	}
	s := stat("suid")
	if s.UID != 70000 || s.GID != 1<<31 || s.Mtime != 1_600_000_000 || s.MtimeNs != 123 || s.Nlink != 3 {
		t.Errorf("suid: %+v", s)
	}
	if s.Mode&fs.ModeSetuid == 0 || s.Mode&fs.ModeSetgid == 0 || s.Mode.Perm() != 0o755 {
		t.Errorf("suid: mode %v", s.Mode)
	}
	for name, want := range map[string]string{"security.capability": "\x01\x00\x00\x02", "user.note": "hello", "system.posix_acl_access.": "acl"} { // the dot is the reader's
		if s.Xattrs[name] != want {
			t.Errorf("%s = %q, want %q", name, s.Xattrs[name], want)
		}
	}
	if other := stat("dir/hard"); other.Ino != s.Ino || stat("again").Ino != s.Ino {
		t.Error("three names of one file lead to several inodes")
	}
	if null := stat("null"); null.Mode&fs.ModeCharDevice == 0 || null.Rdev != 1<<8|3 {
		t.Errorf("null: %+v", null)
	}
	if d := stat("dir"); d.Nlink != 3 || d.Mode&fs.ModeSticky == 0 {
		t.Errorf("dir: %+v", d)
	}
	if target, err := fs.ReadLink(image, "link"); err != nil || target != "../../etc/passwd" {
		t.Errorf("link: %q, %v", target, err)
	}
	if target, err := fs.ReadLink(image, "long"); err != nil || len(target) != 4094 {
		t.Errorf("long: %d bytes, %v", len(target), err)
	}
}

// What does not fit behind an inode beside its attributes goes elsewhere.
func TestLargeAttributesBesideInlineContent(t *testing.T) {
	big := map[string]string{"user.a": strings.Repeat("a", 3000), "user.b": strings.Repeat("b", 65000)}
	path := writeImage(t, func(_ *erofs.Writer, a *erofs.Appender) *erofs.Node {
		f := file(t, a, bytes.Repeat([]byte("c"), 1500))
		d := dir(map[string]*erofs.Node{"x": file(t, a, []byte("x"))})
		f.Xattrs, d.Xattrs = big, big
		return dir(map[string]*erofs.Node{"f": f, "d": d, "l": {Mode: erofs.Symlink | 0o777, Target: "t", Xattrs: big}})
	})
	fsck(t, path)
	image := open(t, path)
	for name, size := range map[string]int{"f": 1500, "d/x": 1} {
		if got, err := fs.ReadFile(image, name); err != nil || len(got) != size {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestLargeDirectory(t *testing.T) {
	const n = 5000
	path := writeImage(t, func(_ *erofs.Writer, a *erofs.Appender) *erofs.Node {
		children := map[string]*erofs.Node{}
		for i := range n {
			children[fmt.Sprintf("%05d%s", i, strings.Repeat("n", i%250))] = file(t, a, []byte{byte(i)})
		}
		children["!first"], children["~last"] = dir(nil), dir(nil)
		return dir(map[string]*erofs.Node{"d": dir(children)})
	})
	fsck(t, path)
	entries, err := fs.ReadDir(open(t, path), "d")
	if err != nil || len(entries) != n+2 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	for name, root := range map[string]*erofs.Node{
		"no directory": {Mode: erofs.Regular},
		"no type":      dir(map[string]*erofs.Node{"x": {}}),
		"slash":        dir(map[string]*erofs.Node{"a/b": {Mode: erofs.FIFO}}),
		"dots":         dir(map[string]*erofs.Node{"..": {Mode: erofs.FIFO}}),
		"long name":    dir(map[string]*erofs.Node{strings.Repeat("x", 256): {Mode: erofs.FIFO}}),
		"empty target": dir(map[string]*erofs.Node{"x": {Mode: erofs.Symlink}}),
		"attribute":    dir(map[string]*erofs.Node{"x": {Mode: erofs.FIFO, Xattrs: map[string]string{"other.x": "y"}}}),
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Create(filepath.Join(t.TempDir(), "image"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := erofs.NewWriter(f).Finish(root, [16]byte{}); err == nil {
				t.Error("no error")
			}
		})
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int64{10, 10_000, 10 << 20} {
		if _, err := erofs.NewWriter(f).NewAppender().Append(strings.NewReader("short"), size); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("short content of %d bytes: %v", size, err)
		}
	}
}

// Several goroutines may append at once, and one tree gives one image.
func TestAppendersSideBySide(t *testing.T) {
	path := writeImage(t, func(w *erofs.Writer, _ *erofs.Appender) *erofs.Node {
		parts := make([]*erofs.Node, 4)
		done := make(chan error)
		for i := range parts {
			parts[i] = dir(map[string]*erofs.Node{})
			go func() {
				a := w.NewAppender()
				for size := range 300 {
					c, err := a.Append(bytes.NewReader(bytes.Repeat([]byte{byte(i)}, size*97)), int64(size*97))
					if err != nil {
						done <- err
						return
					}
					parts[i].Children[fmt.Sprint(size)] = &erofs.Node{Mode: erofs.Regular | 0o600, Content: c}
				}
				done <- a.Flush()
			}()
		}
		for range parts {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		return dir(map[string]*erofs.Node{"0": parts[0], "1": parts[1], "2": parts[2], "3": parts[3]})
	})
	fsck(t, path)
	image := open(t, path)
	for i := range 4 {
		for size := range 300 {
			got, err := fs.ReadFile(image, fmt.Sprintf("%d/%d", i, size))
			if err != nil || sha256.Sum256(got) != sha256.Sum256(bytes.Repeat([]byte{byte(i)}, size*97)) {
				t.Fatalf("%d/%d: %d bytes, %v", i, size, len(got), err)
			}
		}
	}
}
