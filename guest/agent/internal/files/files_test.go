package files

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/voidbox-run/voidbox/guest/agent/internal/users"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

func newFiles() *Files {
	ordinary := boot.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Name: "tester", Home: "/"}
	return &Files{Lookup: func(user string) (boot.User, error) { return users.Lookup("/nonesuch", user, ordinary) }}
}

func read(t *testing.T, f *Files, p string, r sandbox.Range) string {
	t.Helper()
	file, err := f.ReadFile(p, r)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, f *Files, p, content string, opt sandbox.WriteOptions) {
	t.Helper()
	if n, err := f.WriteFile(p, opt, strings.NewReader(content)); err != nil || n != int64(len(content)) {
		t.Fatalf("%d, %v", n, err)
	}
}

func TestRanges(t *testing.T) {
	f, p := newFiles(), filepath.Join(t.TempDir(), "a")
	write(t, f, p, "0123456789", sandbox.WriteOptions{})
	for r, want := range map[sandbox.Range]string{
		{}:                      "0123456789",
		{Offset: 3}:             "3456789",
		{Offset: 3, Limit: 4}:   "3456",
		{Offset: 8, Limit: 100}: "89",
		{Offset: 100}:           "",
	} {
		if got := read(t, f, p, r); got != want {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
	}
	if _, err := f.ReadFile(p, sandbox.Range{Offset: 1 << 63}); !errors.Is(err, errdef.ErrInvalid) {
		t.Errorf("offset beyond any file: %v", err)
	}
}

type failing struct{ after io.Reader }

var errSource = errors.New("the source failed")

func (f failing) Read(p []byte) (int, error) {
	n, err := f.after.Read(p)
	if err == io.EOF {
		err = errSource
	}
	return n, err
}

func TestAFailedWriteLeavesTheOldFileAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	f, p := newFiles(), filepath.Join(dir, "a")
	write(t, f, p, "old", sandbox.WriteOptions{})
	if _, err := f.WriteFile(p, sandbox.WriteOptions{}, failing{strings.NewReader("new")}); !errors.Is(err, errSource) {
		t.Fatalf("got %v", err)
	}
	if got := read(t, f, p, sandbox.Range{}); got != "old" {
		t.Errorf("the file holds %q", got)
	}
	if list, err := f.ListDir(dir); err != nil || len(list) != 1 {
		t.Errorf("the directory holds %+v, %v", list, err)
	}
}

func TestModesAndOwners(t *testing.T) {
	dir := t.TempDir()
	f, p := newFiles(), filepath.Join(dir, "deep", "er", "a")
	if _, err := f.WriteFile(p, sandbox.WriteOptions{}, strings.NewReader("")); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("without its directory: %v", err)
	}
	check := func(mode fs.FileMode, uid uint32) {
		t.Helper()
		info, err := f.Stat(p, false)
		if err != nil || info.Mode != mode || info.UID != uid {
			t.Errorf("got %v of %d, %v; want %v of %d", info.Mode, info.UID, err, mode, uid)
		}
	}
	own := uint32(os.Getuid())
	write(t, f, p, "", sandbox.WriteOptions{Parents: true})
	check(0o644, own)
	write(t, f, p, "", sandbox.WriteOptions{Mode: 0o755 | fs.ModeSetuid})
	check(0o755|fs.ModeSetuid, own)
	write(t, f, p, "", sandbox.WriteOptions{})
	check(0o755|fs.ModeSetuid, own)
	if own != 0 {
		return
	}
	write(t, f, p, "", sandbox.WriteOptions{User: "4321:4322"})
	check(0o755|fs.ModeSetuid, 4321)
	write(t, f, p, "", sandbox.WriteOptions{Mode: 0o600})
	check(0o600, 4321)
}

func TestAWriteReplacesALinkAndNotItsTarget(t *testing.T) {
	dir := t.TempDir()
	f, target, link := newFiles(), filepath.Join(dir, "target"), filepath.Join(dir, "link")
	write(t, f, target, "secret", sandbox.WriteOptions{})
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(link, false); err != nil || info.LinkTarget != target {
		t.Errorf("link: %+v, %v", info, err)
	}
	if got := read(t, f, link, sandbox.Range{}); got != "secret" {
		t.Errorf("through the link: %q", got)
	}
	write(t, f, link, "new", sandbox.WriteOptions{})
	if got := read(t, f, target, sandbox.Range{}); got != "secret" {
		t.Errorf("the target holds %q", got)
	}
}

func TestWhatIsNoRegularFileIsRefusedWithoutWaiting(t *testing.T) {
	dir := t.TempDir()
	f, fifo := newFiles(), filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{fifo, dir, "/dev/zero", "relative", "", "/a\x00b"} {
		if _, err := f.ReadFile(p, sandbox.Range{}); !errors.Is(err, errdef.ErrInvalid) {
			t.Errorf("read %q: %v", p, err)
		}
	}
	if _, err := f.WriteFile(dir, sandbox.WriteOptions{}, strings.NewReader("")); !errors.Is(err, errdef.ErrInvalid) {
		t.Errorf("write over a directory: %v", err)
	}
}

func TestDirectories(t *testing.T) {
	dir := t.TempDir()
	f, deep := newFiles(), filepath.Join(dir, "a", "b")
	if err := f.MakeDir(deep, sandbox.MakeDirOptions{}); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("without parent: %v", err)
	}
	for range 2 {
		if err := f.MakeDir(deep, sandbox.MakeDirOptions{Parents: true, Mode: 0o777}); err != nil {
			t.Error(err)
		}
	}
	if info, err := f.Stat(deep, false); err != nil || info.Mode != fs.ModeDir|0o777 {
		t.Errorf("%+v, %v", info, err)
	}
	if err := f.MakeDir(deep, sandbox.MakeDirOptions{}); !errors.Is(err, errdef.ErrExists) {
		t.Errorf("again: %v", err)
	}
	for _, name := range []string{"c", "b", "a"} {
		write(t, f, filepath.Join(deep, name), "", sandbox.WriteOptions{})
	}
	list, err := f.ListDir(deep)
	if err != nil || len(list) != 3 || list[0].Name != "a" || list[2].Name != "c" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := f.Remove(deep, false); err == nil {
		t.Error("a full directory was removed")
	}
	if err := f.Rename(filepath.Join(deep, "a"), filepath.Join(deep, "b")); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := f.Remove(filepath.Join(dir, "a"), true); err != nil {
			t.Error(err)
		}
	}
	for p, kind := range map[string]error{filepath.Join(dir, "a"): errdef.ErrNotFound, "/": errdef.ErrInvalid, "x": errdef.ErrInvalid} {
		if err := f.Remove(p, false); !errors.Is(err, kind) {
			t.Errorf("remove %s: %v", p, err)
		}
	}
	if _, err := f.ListDir(filepath.Join(dir, "a")); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("list: %v", err)
	}
}
