//go:build linux

package shares

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/share"
)

// Everything here holds on a shared directory and on an overlay.
func onEach(t *testing.T, test func(t *testing.T, host, guest string)) {
	t.Run("rw", func(t *testing.T) {
		host, guest := shared(t, share.ReadWrite)
		test(t, host, guest)
	})
	t.Run("overlay", func(t *testing.T) {
		host, upper := t.TempDir(), t.TempDir()
		dir := mounted(t, share.Mount{HostPath: host, UpperPath: upper, Tag: "m", Mode: share.Overlay, IDMap: asGuest()})
		test(t, upper, filepath.Join(dir, "m"))
	})
}

func TestOwnersAndModesAreVirtual(t *testing.T) {
	onEach(t, func(t *testing.T, host, guest string) {
		file, inHost := filepath.Join(guest, "file"), filepath.Join(host, "file")
		write(t, file, "x")
		must(t, os.Chown(file, 1000, 1000))
		must(t, os.Chmod(file, 0o640))
		if st := stat(t, inHost); st.Uid != uint32(os.Getuid()) || st.Mode&0o7777 != 0o640 {
			t.Errorf("the guest's user on the host: %d, mode %o", st.Uid, st.Mode)
		}
		must(t, os.Chown(file, 123, 456))
		must(t, unix.Chmod(file, 0o6755))
		if st := stat(t, file); st.Uid != 123 || st.Gid != 456 || st.Mode&0o7777 != 0o6755 {
			t.Errorf("the guest sees %d:%d %o", st.Uid, st.Gid, st.Mode)
		}
		if st := stat(t, inHost); st.Uid != uint32(os.Getuid()) || st.Mode&0o7777 != 0o755 {
			t.Errorf("the host has %d, mode %o", st.Uid, st.Mode)
		}
		must(t, os.Chown(file, 5, -1)) // takes the bits away
		if st := stat(t, file); st.Uid != 5 || st.Mode&0o7777 != 0o755 {
			t.Errorf("after chown the guest sees %d, %o", st.Uid, st.Mode)
		}
		must(t, unix.Mknod(filepath.Join(guest, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		if st := stat(t, filepath.Join(guest, "null")); st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) {
			t.Errorf("device: %o %x", st.Mode, st.Rdev)
		}
		if st := stat(t, filepath.Join(host, "null")); st.Mode&unix.S_IFMT != unix.S_IFREG {
			t.Errorf("a device was made on the host: %o", st.Mode)
		}
		must(t, unix.Mkfifo(filepath.Join(guest, "fifo"), 0o600))
		if st := stat(t, filepath.Join(guest, "fifo")); st.Mode&unix.S_IFMT != unix.S_IFIFO {
			t.Errorf("FIFO: %o", st.Mode)
		}
		must(t, os.Mkdir(filepath.Join(guest, "setgid"), 0o777))
		must(t, os.Chown(filepath.Join(guest, "setgid"), 0, 77))
		must(t, unix.Chmod(filepath.Join(guest, "setgid"), 0o2777))
		write(t, filepath.Join(guest, "setgid", "file"), "")
		must(t, os.Mkdir(filepath.Join(guest, "setgid", "dir"), 0o755))
		if st := stat(t, filepath.Join(guest, "setgid", "file")); st.Gid != 77 {
			t.Errorf("a file in a set-group-ID directory is of group %d", st.Gid)
		}
		if st := stat(t, filepath.Join(guest, "setgid", "dir")); st.Gid != 77 || st.Mode&unix.S_ISGID == 0 {
			t.Errorf("a directory in one: %d %o", st.Gid, st.Mode)
		}
	})
}

func TestNamesAndLinks(t *testing.T) {
	onEach(t, func(t *testing.T, _, guest string) {
		at := func(name string) string { return filepath.Join(guest, name) }
		write(t, at("a"), "a")
		write(t, at("b"), "b")
		ino := stat(t, at("a")).Ino
		must(t, os.Rename(at("a"), at("b")))
		if got := read(t, at("b")); got != "a" || stat(t, at("b")).Ino != ino {
			t.Errorf("renamed over: %q", got)
		}
		wantErr(t, unix.Renameat2(unix.AT_FDCWD, at("b"), unix.AT_FDCWD, at("none"), unix.RENAME_EXCHANGE), unix.ENOENT)
		write(t, at("c"), "c")
		wantErr(t, unix.Renameat2(unix.AT_FDCWD, at("b"), unix.AT_FDCWD, at("c"), unix.RENAME_NOREPLACE), unix.EEXIST)
		must(t, unix.Renameat2(unix.AT_FDCWD, at("b"), unix.AT_FDCWD, at("c"), unix.RENAME_EXCHANGE))
		if read(t, at("b")) != "c" || read(t, at("c")) != "a" {
			t.Error("not exchanged")
		}
		must(t, os.Link(at("c"), at("hard")))
		if st := stat(t, at("hard")); st.Nlink != 2 || st.Ino != ino {
			t.Errorf("hard link: %d links", st.Nlink)
		}
		must(t, os.Remove(at("c")))
		if got := read(t, at("hard")); got != "a" || stat(t, at("hard")).Nlink != 1 {
			t.Errorf("the other name: %q", got)
		}
		must(t, os.Symlink("/etc/passwd", at("absolute")))
		must(t, os.Symlink("nowhere", at("dangling")))
		if to, err := os.Readlink(at("dangling")); to != "nowhere" {
			t.Errorf("%q, %v", to, err)
		}
		long := strings.Repeat("ü", 127) + "x"
		write(t, at(long), "")
		wantErr(t, os.WriteFile(at(long+"y"), nil, 0o600), unix.ENAMETOOLONG)
		write(t, at("Case"), "1")
		write(t, at("case"), "2")
		must(t, os.MkdirAll(at("d/e"), 0o755))
		wantErr(t, os.Remove(at("d")), unix.ENOTEMPTY)
		wantErr(t, os.Rename(at("d"), at("d/e/f")), unix.EINVAL)
		must(t, os.Rename(at("d/e"), at("f")))
		wantErr(t, unix.Rmdir(at("hard")), unix.ENOTDIR)
		wantErr(t, unix.Unlink(at("d")), unix.EISDIR)
		must(t, os.Remove(at("d")))
		must(t, os.Mkdir(at("d"), 0o755))
		if left, _ := os.ReadDir(at("d")); len(left) > 0 {
			t.Errorf("a new directory holds %v", left)
		}
	})
}

func TestFilesWithoutNames(t *testing.T) {
	onEach(t, func(t *testing.T, _, guest string) {
		at := func(name string) string { return filepath.Join(guest, name) }
		write(t, at("file"), "kept")
		f, err := os.OpenFile(at("file"), os.O_RDWR, 0)
		must(t, err)
		defer f.Close()
		must(t, os.Remove(at("file")))
		write(t, at("file"), "another")
		b := make([]byte, 4)
		if _, err := f.ReadAt(b, 0); err != nil || string(b) != "kept" {
			t.Errorf("%q, %v", b, err)
		}
		must(t, f.Truncate(2))
		must(t, f.Chmod(0o600))
		if info, err := f.Stat(); err != nil || info.Size() != 2 || info.Sys().(*syscall.Stat_t).Nlink != 0 {
			t.Errorf("%v, %v", info, err)
		}
		if got := read(t, at("file")); got != "another" {
			t.Errorf("the new file holds %q", got)
		}
		fd, err := unix.Open(guest, unix.O_TMPFILE|unix.O_RDWR, 0o644)
		must(t, err)
		_, err = unix.Write(fd, []byte("nameless"))
		must(t, err)
		must(t, unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+itoa(fd), unix.AT_FDCWD, at("named"), unix.AT_SYMLINK_FOLLOW))
		must(t, unix.Close(fd))
		if got := read(t, at("named")); got != "nameless" {
			t.Errorf("%q", got)
		}
	})
}

func TestContents(t *testing.T) {
	onEach(t, func(t *testing.T, host, guest string) {
		at := func(name string) string { return filepath.Join(guest, name) }
		big := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16+7)
		must(t, os.WriteFile(at("big"), big, 0o644))
		if got, err := os.ReadFile(at("big")); err != nil || !bytes.Equal(got, big) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if got, err := os.ReadFile(filepath.Join(host, "big")); err != nil || !bytes.Equal(got, big) {
			t.Errorf("on the host: %d bytes, %v", len(got), err)
		}
		f, err := os.OpenFile(at("sparse"), os.O_RDWR|os.O_CREATE, 0o644)
		must(t, err)
		defer f.Close()
		_, err = f.WriteAt([]byte("x"), 1<<20)
		must(t, err)
		if at, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_DATA); err != nil || at != 1<<20 {
			t.Errorf("data at %d, %v", at, err)
		}
		must(t, unix.Fallocate(int(f.Fd()), 0, 0, 2<<20))
		must(t, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 1<<20, 4096))
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, 1<<20); err != nil || b[0] != 0 {
			t.Errorf("in the hole: %v, %v", b, err)
		}
		if info, err := f.Stat(); err != nil || info.Size() != 2<<20 {
			t.Errorf("%v, %v", info, err)
		}
		must(t, f.Sync())
		a, err := os.OpenFile(at("log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		must(t, err)
		defer a.Close()
		for _, word := range []string{"one ", "two "} {
			_, err := a.WriteString(word)
			must(t, err)
		}
		if got := read(t, at("log")); got != "one two " {
			t.Errorf("%q", got)
		}
		must(t, unix.Flock(int(a.Fd()), unix.LOCK_EX))
		second, err := os.Open(at("log"))
		must(t, err)
		defer second.Close()
		wantErr(t, unix.Flock(int(second.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
	})
}

func TestExtendedAttributes(t *testing.T) {
	onEach(t, func(t *testing.T, _, guest string) {
		file := filepath.Join(guest, "file")
		write(t, file, "")
		must(t, os.Chown(file, 7, 7)) // makes a record
		must(t, unix.Setxattr(file, "user.colour", []byte("red"), 0))
		wantErr(t, unix.Setxattr(file, "user.colour", nil, unix.XATTR_CREATE), unix.EEXIST)
		b := make([]byte, 100)
		n, err := unix.Listxattr(file, b)
		if err != nil || string(b[:n]) != "user.colour\x00" {
			t.Errorf("%q, %v", b[:n], err)
		}
		if n, err := unix.Getxattr(file, "user.colour", b); err != nil || string(b[:n]) != "red" {
			t.Errorf("%q, %v", b[:n], err)
		}
		for _, name := range []string{share.RecordName, share.HiddenPrefix + "x"} {
			wantErr(t, unix.Setxattr(file, name, []byte("u0"), 0), unix.EPERM)
			wantErr(t, unix.Removexattr(file, name), unix.EPERM)
			_, err := unix.Getxattr(file, name, b)
			wantErr(t, err, unix.ENODATA)
		}
		wantErr(t, unix.Setxattr(file, "trusted.x", []byte("x"), 0), unix.EOPNOTSUPP)
		must(t, unix.Removexattr(file, "user.colour"))
	})
}

func TestReadOnlyMeansIt(t *testing.T) {
	host := t.TempDir()
	write(t, filepath.Join(host, "file"), "x")
	dir := mounted(t, share.Mount{HostPath: host, Tag: "ro", Mode: share.ReadOnly, IDMap: asGuest()},
		share.Mount{HostPath: host, Tag: "rw", Mode: share.ReadWrite, IDMap: asGuest()})
	ro, rw := filepath.Join(dir, "ro"), filepath.Join(dir, "rw")
	file := filepath.Join(ro, "file")
	for what, err := range map[string]error{
		"write":  os.WriteFile(file, []byte("y"), 0o644),
		"create": os.WriteFile(filepath.Join(ro, "new"), nil, 0o644),
		"mkdir":  os.Mkdir(filepath.Join(ro, "new"), 0o755),
		"remove": os.Remove(file),
		"chmod":  os.Chmod(file, 0o777),
		"chown":  os.Chown(file, 1, 1),
		"rename": os.Rename(file, filepath.Join(ro, "new")),
		"link":   os.Link(file, filepath.Join(ro, "new")),
		"attr":   unix.Setxattr(file, "user.x", nil, 0),
		"times":  os.Chtimes(file, stampTime, stampTime),
	} {
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantErr(t, os.Link(file, filepath.Join(rw, "new")), unix.EXDEV)
	wantErr(t, os.Rename(filepath.Join(rw, "file"), filepath.Join(ro, "x")), unix.EROFS)
	if got := read(t, filepath.Join(host, "file")); got != "x" {
		t.Errorf("%q", got)
	}
	wantErr(t, os.Mkdir(filepath.Join(dir, "new"), 0o755), unix.EPERM)
}

func TestManyFilesAreForgotten(t *testing.T) {
	host := t.TempDir()
	const dirs, files = 20, 500
	for d := range dirs {
		at := filepath.Join(host, "d"+itoa(d))
		must(t, os.Mkdir(at, 0o755))
		for f := range files {
			write(t, filepath.Join(at, itoa(f)), "")
		}
	}
	s := newShare(t)
	path, err := s.Attach(t.Context(), share.Attachment{Mounts: []share.Mount{{HostPath: host, Tag: "m", Mode: share.ReadWrite}}})
	must(t, err)
	guest := filepath.Join(bridge(t, path), "m")
	n := 0
	must(t, filepath.WalkDir(guest, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
			_, err = os.Lstat(path)
		}
		return err
	}))
	if n != dirs*files {
		t.Errorf("%d files", n)
	}
	stats, err := s.Stats(t.Context())
	must(t, err)
	if stats["nodes"] < dirs*files || stats["descriptors"] > dirs+5 {
		t.Errorf("%d nodes, %d descriptors: files that were only looked at must not stay open", stats["nodes"], stats["descriptors"])
	}
	must(t, os.RemoveAll(filepath.Join(guest, "d0")))
	if left, err := os.ReadDir(guest); err != nil || len(left) != dirs-1 {
		t.Errorf("%d directories, %v", len(left), err)
	}
}

func TestCopyingUp(t *testing.T) {
	host, upper := t.TempDir(), t.TempDir()
	file := filepath.Join(host, "file")
	const size = 1 << 40 // which no disk here has
	write(t, file, "begin")
	must(t, os.Truncate(file, size))
	must(t, unix.Setxattr(file, "user.colour", []byte("red"), 0))
	must(t, os.Chtimes(file, stampTime, stampTime))
	guest := filepath.Join(mounted(t, share.Mount{HostPath: host, UpperPath: upper, Tag: "m", Mode: share.Overlay, IDMap: asGuest()}), "m", "file")
	before := stat(t, guest)
	reader, err := os.Open(guest)
	must(t, err)
	defer reader.Close()
	f, err := os.OpenFile(guest, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	if st := stat(t, guest); st.Ino != before.Ino || st.Size != size || st.Mtim != before.Mtim || st.Uid != before.Uid {
		t.Errorf("copied up: %+v, was %+v", st, before)
	}
	_, err = f.WriteAt([]byte("BEGIN"), 0)
	must(t, err)
	b := make([]byte, 6)
	if _, err := reader.ReadAt(b, 0); err != nil || string(b) != "BEGIN\x00" {
		t.Errorf("who had it open reads %q, %v", b, err)
	}
	if n, err := unix.Getxattr(guest, "user.colour", b); err != nil || string(b[:n]) != "red" {
		t.Errorf("attribute %q, %v", b[:n], err)
	}
	h, err := os.Open(file)
	must(t, err)
	defer h.Close()
	if _, err := h.ReadAt(b[:5], 0); err != nil || string(b[:5]) != "begin" {
		t.Errorf("the host has %q, %v", b[:5], err)
	}
}

// Where the guest's kernel keeps writes back, the same holds, but for what the host sees at once.
func TestWriteback(t *testing.T) {
	host := t.TempDir()
	dir := mounted(t, share.Mount{HostPath: host, Tag: "m", Mode: share.ReadWrite, IDMap: asGuest(), Cache: share.CacheAlways})
	file := filepath.Join(dir, "m", "file")
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	must(t, err)
	for range 1000 {
		_, err := f.WriteString("0123456789")
		must(t, err)
	}
	if at, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_DATA); err != nil || at != 0 {
		t.Errorf("data at %d, %v", at, err)
	}
	must(t, f.Close())
	if got := read(t, filepath.Join(host, "file")); got != strings.Repeat("0123456789", 1000) {
		t.Errorf("the host has %d bytes after close", len(got))
	}
	must(t, os.Chtimes(file, stampTime, stampTime))
	if st := stat(t, filepath.Join(host, "file")); st.Mtim.Sec != stampTime.Unix() {
		t.Errorf("time %d on the host", st.Mtim.Sec)
	}
}

func TestHostEditsAreSeen(t *testing.T) {
	host, guest := shared(t, share.ReadWrite)
	write(t, filepath.Join(host, "file"), "one")
	if got := read(t, filepath.Join(guest, "file")); got != "one" {
		t.Errorf("%q", got)
	}
	// An editor that writes beside and renames: the guest's kernel may trust the name for a second.
	write(t, filepath.Join(host, "temp"), "two")
	must(t, os.Rename(filepath.Join(host, "temp"), filepath.Join(host, "file")))
	eventually(t, func() bool { return read(t, filepath.Join(guest, "file")) == "two" })
	write(t, filepath.Join(host, "file"), "six")
	eventually(t, func() bool { return read(t, filepath.Join(guest, "file")) == "six" })
	must(t, os.Remove(filepath.Join(host, "file")))
	eventually(t, func() bool { _, err := os.Stat(filepath.Join(guest, "file")); return errors.Is(err, fs.ErrNotExist) })
}
