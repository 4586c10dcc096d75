//go:build linux

package sharefs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/fuse"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/hostfs"
)

// asks sends a message with a body as a fuzzer's script has it.
func asks(f *FS, op fuse.Opcode, node uint64, body ...any) (unix.Errno, *Request) {
	q := &Request{Header: fuse.Header{Opcode: op, Node: node}, Body: message(op, 0, body...)[3:], Room: 1 << 20}
	return f.Serve(q), q
}

// numberOf looks names up, one below the other, and returns the last one's number.
func numberOf(t *testing.T, f *FS, names ...string) uint64 {
	t.Helper()
	id := uint64(rootID)
	for _, name := range names {
		errno, q := asks(f, fuse.Lookup, id, name)
		d := fuse.Decode(q.Reply)
		if id = d.Uint64(); errno != 0 || id == 0 {
			t.Fatalf("lookup of %s: %v", name, errno)
		}
	}
	return id
}

// A guest's kernel would not send any of these. Each gets an error, and nothing is changed.
func TestLyingMessages(t *testing.T) {
	f, host := newFS(t)
	outside := filepath.Join(host, "secret")
	if err := errors.Join(os.WriteFile(outside, []byte("secret"), 0o600), os.Symlink("../secret", filepath.Join(host, "rw/out")),
		os.Symlink("/proc/self/root", filepath.Join(host, "rw/magic")), unix.Mkfifo(filepath.Join(host, "rw/pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	rw, sub, file := numberOf(t, f, "rw"), numberOf(t, f, "rw", "sub"), numberOf(t, f, "rw", "file")
	other := numberOf(t, f, "overlay")
	out, magic, pipe := numberOf(t, f, "rw", "out"), numberOf(t, f, "rw", "magic"), numberOf(t, f, "rw", "pipe")
	u32 := func(n uint32) uint32 { return n }
	long := strings.Repeat("x", maxName+1)

	// Names that are none, in every message that has one.
	for _, name := range []string{"", ".", "..", "../secret", "sub/../../secret", "/etc/passwd", "sub/", long} {
		for op, body := range map[fuse.Opcode][]any{
			fuse.Lookup: {name}, fuse.Unlink: {name}, fuse.Rmdir: {name}, fuse.Mkdir: {u32(0o755), u32(0), name},
			fuse.Mknod: {u32(unix.S_IFREG | 0o644), u32(0), u32(0), u32(0), name}, fuse.Symlink: {name, "target"},
			fuse.Create: {u32(unix.O_RDWR), u32(0o644), u32(0), u32(0), name}, fuse.Link: {int(file), name},
			fuse.Rename: {int(rw), name, "new"}, fuse.Rename2: {int(rw), u32(0), u32(0), "file", name},
		} {
			if errno, _ := asks(f, op, rw, body...); errno == 0 {
				t.Errorf("%v of %q is answered", op, name)
			}
		}
	}
	for _, lie := range []struct {
		what string
		op   fuse.Opcode
		node uint64
		body []any
	}{
		{"a node that was never given", fuse.Getattr, 60, []any{u32(0), u32(0), 0}},
		{"a number beyond all nodes", fuse.Lookup, 1 << 63, []any{"file"}},
		{"a file that is used as a directory", fuse.Lookup, file, []any{"x"}},
		{"a link that is used as a directory", fuse.Lookup, out, []any{"x"}},
		{"a magic link that is used as a directory", fuse.Lookup, magic, []any{"etc"}},
		{"a link that is opened", fuse.Open, out, []any{u32(unix.O_RDONLY), u32(0)}},
		{"a link that is opened as a directory", fuse.Opendir, magic, []any{u32(0), u32(0)}},
		{"a FIFO that is opened, for which one would wait", fuse.Open, pipe, []any{u32(unix.O_RDONLY), u32(0)}},
		{"a directory that is opened for writing", fuse.Open, sub, []any{u32(unix.O_RDWR), u32(0)}},
		{"a link that is truncated", fuse.Setattr, out, []any{u32(fuse.SetSize), u32(0), 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		{"a link whose mode is changed", fuse.Setattr, out, []any{u32(fuse.SetMode), u32(0), 0, 0, 0, 0, 0, 0, 0, u32(0o777), u32(0), u32(0), u32(0), u32(0)}},
		{"a hard link into another mount", fuse.Link, other, []any{int(file), "stolen"}},
		{"a rename into another mount", fuse.Rename, rw, []any{int(other), "file", "stolen"}},
		{"a device that is made by mknod as a directory", fuse.Mknod, rw, []any{u32(unix.S_IFDIR | 0o755), u32(0), u32(0), u32(0), "dir"}},
		{"a change of the device's root", fuse.Mkdir, rootID, []any{u32(0o755), u32(0), "new"}},
		{"the removal of a mount", fuse.Rmdir, rootID, []any{"rw"}},
		{"a handle that was never given", fuse.Read, file, []any{7<<32 | 3, 0, u32(10), u32(0), 0, 0}},
		{"a handle of 0", fuse.Readdir, sub, []any{0, 0, u32(4096), u32(0), 0, 0}},
		{"a read of more than there is room for", fuse.Read, file, []any{1 << 32, 0, u32(1 << 31), u32(0), 0, 0}},
		{"our own attribute", fuse.Setxattr, file, []any{u32(2), u32(0), "user.voidbox.stat", "u0"}},
		{"a capability", fuse.Setxattr, file, []any{u32(2), u32(0), "security.capability", "xx"}},
		{"an attribute whose value is cut off", fuse.Setxattr, file, []any{u32(1 << 30), u32(0), "user.x", "v"}},
		{"no body at all", fuse.Rename2, rw, nil},
		{"a name without its end", fuse.Rename2, rw, []any{int(rw), u32(0), u32(0)}},
		{"unknown flags of a rename", fuse.Rename2, rw, []any{int(rw), u32(1 << 2), u32(0), "file", "new"}},
		{"an operation that there is not", fuse.Opcode(200), rw, nil},
	} {
		if errno, q := asks(f, lie.op, lie.node, lie.body...); errno == 0 || len(q.Reply) > 0 {
			t.Errorf("%s is answered: %v", lie.what, errno)
		}
	}
	if got, err := os.ReadFile(outside); err != nil || string(got) != "secret" {
		t.Errorf("the file outside holds %q, %v", got, err)
	}
	if got := names(t, filepath.Join(host, "rw")); got != "file magic out pipe sub" {
		t.Errorf("in the mount there is now %s", got)
	}
	if got := names(t, filepath.Join(host, "upper")) + names(t, filepath.Join(host, "rw/sub")); got != "" {
		t.Errorf("elsewhere there is now %s", got)
	}
	if errno, _ := asks(f, fuse.Getattr, file, u32(0), u32(0), 0); errno != 0 {
		t.Errorf("after all that a file is asked for: %v", errno)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// A guest may open a million times. It gets as many handles as the limit says, then ENFILE; everything else goes on.
func TestAMillionHandles(t *testing.T) {
	const opens, limit = 1 << 20, 1000
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := hostfs.Root(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := New([]Mount{{Tag: "rw", Root: root, Lower: -1}}, Limits{Descriptors: 16, Handles: 2 * limit, Nodes: 64})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	file := numberOf(t, f, "rw", "file")
	var handles []uint64
	for i := range opens {
		op, body := fuse.Open, []any{uint32(unix.O_RDONLY), uint32(0)}
		errno, q := asks(f, op, file, body...)
		switch {
		case errno == 0:
			d := fuse.Decode(q.Reply)
			handles = append(handles, d.Uint64())
		case errno != unix.ENFILE || i < limit:
			t.Fatalf("open %d: %v", i, errno)
		}
	}
	if len(handles) != limit {
		t.Errorf("%d handles were given", len(handles))
	}
	if errno, _ := asks(f, fuse.Getattr, file, uint32(0), uint32(0), 0); errno != 0 {
		t.Errorf("with all handles taken, getattr: %v", errno)
	}
	if errno, q := asks(f, fuse.Read, file, int(handles[0]), 0, uint32(10), uint32(0), 0, 0); errno != 0 || string(q.Reply) != "text" {
		t.Errorf("with all handles taken, read: %v, %q", errno, q.Reply)
	}
	if errno, _ := asks(f, fuse.Create, numberOf(t, f, "rw"), uint32(unix.O_RDWR), uint32(0o644), uint32(0), uint32(0), "new"); errno != unix.ENFILE {
		t.Errorf("with all handles taken, create: %v", errno)
	}
	if got := names(t, dir); got != "file" {
		t.Errorf("a file that could not be opened was made: %s", got)
	}
	for _, h := range handles {
		if errno, _ := asks(f, fuse.Release, file, int(h), uint32(0), uint32(0), 0); errno != 0 {
			t.Fatalf("release: %v", errno)
		}
	}
	if errno, _ := asks(f, fuse.Open, file, uint32(unix.O_RDONLY), uint32(0)); errno != 0 {
		t.Errorf("after all were released, open: %v", errno)
	}
}
