package memfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
)

var (
	root  = User{Root: true}
	alice = User{UID: 1, GID: 1}
	bob   = User{UID: 2, GID: 2}
)

func newFS(t *testing.T) *FS {
	f := New(Limits{Bytes: 1000, Nodes: 10})
	for _, err := range []error{f.Mkdir(root, "/tmp", 0o777), f.Chmod(root, "/tmp", 0o777|fs.ModeSticky)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func want(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: error is %v, want %v", what, err, kind)
	}
}

func TestPermissions(t *testing.T) {
	f := newFS(t)
	want(t, "write", f.WriteFile(alice, "/tmp/a", []byte("x"), 0o600), nil)
	_, err := f.ReadFile(bob, "/tmp/a")
	want(t, "read another's", err, syscall.EACCES)
	want(t, "remove another's from a sticky directory", f.Remove(bob, "/tmp/a"), syscall.EPERM)
	want(t, "rename another's", f.Rename(bob, "/tmp/a", "/tmp/b"), syscall.EPERM)
	want(t, "chmod another's", f.Chmod(bob, "/tmp/a", 0o777), syscall.EPERM)
	want(t, "make in a directory of root", f.Mkdir(alice, "/x", 0o755), syscall.EACCES)
	want(t, "mkdir", f.Mkdir(alice, "/tmp/d", 0o600), nil)
	_, err = f.Stat(alice, "/tmp/d/x", true)
	want(t, "search without x", err, syscall.EACCES)
}

func TestLimits(t *testing.T) {
	f := newFS(t)
	want(t, "too many bytes", f.WriteFile(alice, "/tmp/a", make([]byte, 1001), 0o644), syscall.ENOSPC)
	want(t, "all bytes", f.WriteFile(alice, "/tmp/a", make([]byte, 1000), 0o644), nil)
	want(t, "one more", f.WriteFile(alice, "/tmp/b", []byte("x"), 0o644), syscall.ENOSPC)
	h, err := f.Open(alice, "/tmp/a", os.O_RDONLY, 0)
	want(t, "open", err, nil)
	want(t, "remove", f.Remove(alice, "/tmp/a"), nil)
	if bytes, _ := f.Usage(); bytes != 1000 {
		t.Errorf("an open file without a name holds %d bytes, want 1000", bytes)
	}
	h.Close()
	if bytes, nodes := f.Usage(); bytes != 0 || nodes != 3 {
		t.Errorf("%d bytes in %d nodes are left, want 0 in 3", bytes, nodes)
	}
	sparse, err := f.Open(alice, "/tmp/b", os.O_RDWR, 0)
	want(t, "open", err, nil)
	if _, err := sparse.Seek(1<<60, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	_, err = sparse.Write([]byte("x"))
	want(t, "write far behind the end", err, syscall.ENOSPC)
	sparse.Close()
	for err = nil; err == nil; {
		err = f.Mkdir(alice, "/tmp/"+strings.Repeat("d", int(f.nextInode)), 0o755)
	}
	want(t, "too many nodes", err, syscall.ENOSPC)
}

func TestReplacementLeavesNothing(t *testing.T) {
	f := newFS(t)
	_, before := f.Usage()
	r, err := f.Replacement(alice)
	want(t, "replacement", err, nil)
	_, err = r.Write([]byte("content"))
	want(t, "write", err, nil)
	r.Close()
	if bytes, nodes := f.Usage(); bytes != 0 || nodes != before {
		t.Errorf("%d bytes, %d nodes left", bytes, nodes-before)
	}
}

func TestRenameIntoItself(t *testing.T) {
	f := newFS(t)
	want(t, "mkdir", f.MkdirAll(alice, "/tmp/a/b", 0o755), nil)
	want(t, "rename", f.Rename(alice, "/tmp/a", "/tmp/a/b/c"), syscall.EINVAL)
	want(t, "over a directory that is not empty", f.Rename(root, "/tmp/a/b", "/tmp"), syscall.ENOTEMPTY)
	want(t, "the root", f.Rename(root, "/", "/tmp/x"), syscall.EBUSY)
}

// FuzzPaths holds that no path or link makes a walk panic, loop or leave the tree.
func FuzzPaths(fz *testing.F) {
	for _, seed := range [][2]string{{"/a", "b"}, {"/../..", "/"}, {"/tmp/../tmp/./x", "../tmp/l"}, {"//", ".."}, {"/tmp/l/l/l", "l"}} {
		fz.Add(seed[0], seed[1])
	}
	fz.Fuzz(func(t *testing.T, path, target string) {
		f := New(Limits{Bytes: 1 << 16, Nodes: 100})
		_ = f.Mkdir(root, "/tmp", 0o777)
		_ = f.Symlink(root, target, "/tmp/l")
		for _, p := range []string{path, "/tmp/l", "/tmp/l/" + path} {
			_ = f.WriteFile(root, p, []byte("x"), 0o644)
			_, _ = f.Stat(root, p, true)
			_ = f.MkdirAll(root, p, 0o755)
			_ = f.Rename(root, p, path)
			_ = f.RemoveAll(root, p)
		}
		if bytes, nodes := f.Usage(); bytes < 0 || nodes < 1 {
			t.Errorf("%d bytes, %d nodes", bytes, nodes)
		}
	})
}
