package memfs

import (
	"os"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestQuotaOfOpenFiles(t *testing.T) {
	f := newFS(t)
	limited := alice
	limited.Quota = &Quota{OpenFiles: standardFiles + 1, Open: new(atomic.Int64)}
	h, err := f.Open(limited, "/tmp/a", os.O_WRONLY|os.O_CREATE, 0o644)
	want(t, "first", err, nil)
	_, err = f.Open(limited, "/tmp/a", os.O_RDONLY, 0)
	want(t, "second", err, syscall.EMFILE)
	_, err = f.ReadDir(limited, "/tmp")
	want(t, "a directory", err, syscall.EMFILE)
	h.Close()
	h.Close() // counts once
	_, err = f.Open(limited, "/tmp/none", os.O_RDONLY, 0)
	want(t, "missing", err, syscall.ENOENT)
	h, err = f.Open(limited, "/tmp/a", os.O_RDONLY, 0)
	want(t, "after it was closed", err, nil)
	h.Close()
	if n := limited.Quota.Open.Load(); n != 0 {
		t.Errorf("%d files are counted as open, want none", n)
	}
}

func TestQuotaOfBytes(t *testing.T) {
	f := newFS(t)
	limited := alice
	limited.Quota = &Quota{FileBytes: 5, Open: new(atomic.Int64)}
	h, err := f.Open(limited, "/tmp/a", os.O_RDWR|os.O_CREATE, 0o644)
	want(t, "open", err, nil)
	defer h.Close()
	n, err := h.Write([]byte("1234567"))
	want(t, "too much", err, syscall.EFBIG)
	if n != 5 {
		t.Errorf("wrote %d bytes, want 5", n)
	}
	_, err = h.Write([]byte("x"))
	want(t, "more", err, syscall.EFBIG)
	want(t, "longer", h.Truncate(6), syscall.EFBIG)
	want(t, "shorter", h.Truncate(2), nil)
	want(t, "by another", f.WriteFile(alice, "/tmp/a", []byte("1234567"), 0o644), nil)
	_, err = h.Seek(0, 0)
	want(t, "seek", err, nil)
	_, err = h.Write([]byte("ab"))
	want(t, "into a file that is longer", err, nil)
}

func TestChown(t *testing.T) {
	f := newFS(t)
	want(t, "write", f.WriteFile(alice, "/tmp/a", nil, 0o644), nil)
	want(t, "give away", f.Chown(alice, "/tmp/a", bob.UID, alice.GID, true), syscall.EPERM)
	want(t, "another's group", f.Chown(alice, "/tmp/a", alice.UID, bob.GID, true), syscall.EPERM)
	want(t, "one's own group", f.Chown(alice, "/tmp/a", alice.UID, alice.GID, true), nil)
	want(t, "another's file", f.Chown(bob, "/tmp/a", bob.UID, bob.GID, true), syscall.EPERM)
	want(t, "link", f.Symlink(alice, "a", "/tmp/l"), nil)
	want(t, "by root", f.Chown(root, "/tmp/l", bob.UID, bob.GID, false), nil)
	for name, owner := range map[string]uint32{"/tmp/a": alice.UID, "/tmp/l": bob.UID} {
		if info, err := f.Stat(root, name, false); err != nil || info.UID != owner {
			t.Errorf("%s belongs to %d, want %d (%v)", name, info.UID, owner, err)
		}
	}
	want(t, "touch another's", f.Touch(bob, "/tmp/a"), syscall.EACCES)
	want(t, "let others write", f.Chmod(alice, "/tmp/a", 0o666), nil)
	want(t, "touch what one may write", f.Touch(bob, "/tmp/a"), nil)
}
