package rootfs

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"
)

// entries reads an archive back.
func entries(t *testing.T, archive []byte) map[string]cpio.Record {
	t.Helper()
	records := map[string]cpio.Record{}
	reader := cpio.Newc.Reader(bytes.NewReader(archive))
	for {
		r, err := reader.ReadRecord()
		if err == io.EOF {
			return records
		}
		if err != nil {
			t.Fatal(err)
		}
		records[r.Name] = r
	}
}

func content(t *testing.T, r cpio.Record) string {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestArchive(t *testing.T) {
	host := t.TempDir()
	for name, perm := range map[string]os.FileMode{"tool": 0o700, "sub/data": 0o600} {
		file := filepath.Join(host, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("content of "+name), perm); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	a := New(&out)
	for _, err := range []error{
		a.Dir("/tmp", 0o1777), a.Copy(host, "/a/b"), a.Link("/bin/sh", "busybox"), a.Device("/dev/null", 0o666, 1, 3),
		a.Bytes("/etc/text", 0o644, []byte("text")), a.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got := entries(t, out.Bytes())
	modes := map[string]uint64{
		"a": unix.S_IFDIR | 0o755, "a/b": unix.S_IFDIR | 0o755, "a/b/tool": unix.S_IFREG | 0o755, "a/b/sub/data": unix.S_IFREG | 0o644,
		"bin/sh": unix.S_IFLNK | 0o777, "dev/null": unix.S_IFCHR | 0o666, "etc/text": unix.S_IFREG | 0o644,
	}
	for name, mode := range modes {
		if r, ok := got[name]; !ok || r.Mode != mode {
			t.Errorf("%s: there %v, mode %o, want %o", name, ok, r.Mode, mode)
		}
	}
	if c := content(t, got["a/b/sub/data"]); c != "content of sub/data" {
		t.Errorf("content %q", c)
	}
	if c := content(t, got["bin/sh"]); c != "busybox" {
		t.Errorf("link to %q", c)
	}
}

func TestNothingIsGivenTwice(t *testing.T) {
	a := New(io.Discard)
	if err := a.Bytes("/x", 0o644, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Bytes("x", 0o644, nil); err == nil || !strings.Contains(err.Error(), "/x") {
		t.Errorf("%v", err)
	}
	if err := a.Copy(os.DevNull, "/null"); err == nil {
		t.Error("a device is taken for a file")
	}
}

// A program of the host's that is dynamically linked gets its loader and its libraries.
func TestCopyLibraries(t *testing.T) {
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Skip(err)
	}
	var out bytes.Buffer
	a := New(&out)
	if err := a.CopyLibraries(shell); err != nil {
		t.Fatal(err)
	}
	if err := a.CopyLibraries(filepath.Join(t.TempDir(), "nonesuch")); err != nil {
		t.Errorf("what is no program: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	libc, loader := false, false
	for name := range entries(t, out.Bytes()) {
		libc = libc || strings.Contains(name, "libc.")
		loader = loader || strings.Contains(name, "ld-linux")
	}
	if libc != loader {
		t.Errorf("libc: %v, loader: %v; a program needs both or none", libc, loader)
	}
}
