//go:build linux

package posix

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func (t *T) opening(name string, flags int) error {
	return closing(unix.Open(t.at(name), flags|unix.O_CLOEXEC, 0o644))
}

// openCases are about the flags of open(2).
func openCases(a *area) {
	a.test("open/O_CREAT makes an empty file", "", func(t *T) {
		st := t.fstat(t.open("f", unix.O_CREAT|unix.O_WRONLY, 0o640))
		same(t, "mode", st.Mode, unix.S_IFREG|0o640)
		same(t, "size", st.Size, 0)
		same(t, "links", st.Nlink, 1)
	})
	a.test("open/O_CREAT leaves an existing file alone", "f=text", func(t *T) {
		t.open("f", unix.O_CREAT|unix.O_WRONLY, 0o600)
		t.reads("f", "text")
		same(t, "mode", t.mode("f"), 0o644)
	})
	a.test("open/O_CREAT with mode 0 can be written", "", func(t *T) {
		fd := t.open("f", unix.O_CREAT|unix.O_RDWR, 0)
		t.put(fd, "text")
		t.holds(fd, 0, []byte("text"))
		same(t, "mode", t.mode("f"), 0)
	})
	a.test("open/O_CREAT read-only", "", func(t *T) {
		fd := t.open("f", unix.O_CREAT|unix.O_RDONLY, 0o200)
		_, err := unix.Write(fd, []byte("x"))
		t.fails(err, unix.EBADF)
	})
	for what, tree := range map[string]string{"a file": "x", "a directory": "x/", "a dangling link": "x->none", "a link": "x->f f"} {
		a.test("open/O_EXCL at "+what, tree, func(t *T) {
			t.fails(t.opening("x", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY), unix.EEXIST)
			t.gone("none")
		})
	}
	a.test("open/O_CREAT through a dangling link", "l->f", func(t *T) {
		t.must(t.opening("l", unix.O_CREAT|unix.O_WRONLY))
		same(t, "kind", t.stat("f").Mode&unix.S_IFMT, unix.S_IFREG)
	})
	a.test("open/O_CREAT at a directory", "d/", func(t *T) { t.fails(t.opening("d", unix.O_CREAT|unix.O_RDONLY), unix.EISDIR) })
	a.test("open/a directory for writing", "d/", func(t *T) {
		t.fails(t.opening("d", unix.O_WRONLY), unix.EISDIR)
		t.fails(t.opening("d", unix.O_RDWR), unix.EISDIR)
	})
	a.test("open/O_TRUNC empties", "f=text", func(t *T) {
		t.open("f", unix.O_TRUNC|unix.O_WRONLY, 0)
		same(t, "size", t.size("f"), 0)
		t.reads("f", "")
	})
	a.test("open/O_TRUNC of an empty file", "f", func(t *T) { t.must(t.opening("f", unix.O_TRUNC|unix.O_WRONLY)) })
	a.test("open/O_CREAT and O_TRUNC of what is there", "f=text", func(t *T) {
		ino := t.stat("f").Ino
		t.open("f", unix.O_CREAT|unix.O_TRUNC|unix.O_RDWR, 0o600)
		t.reads("f", "")
		same(t, "inode", t.stat("f").Ino, ino)
		same(t, "mode", t.mode("f"), 0o644)
	})
	a.test("open/O_TRUNC is seen by who has it open", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDONLY, 0)
		t.must(t.opening("f", unix.O_TRUNC|unix.O_WRONLY))
		n, err := unix.Read(fd, make([]byte, 8))
		t.must(err)
		same(t, "bytes read", n, 0)
	})
	a.user("open/O_TRUNC of what may not be written", "f=text", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0o444))
		t.fails(t.opening("f", unix.O_TRUNC|unix.O_WRONLY), unix.EACCES)
		t.reads("f", "text")
	})
	a.test("open/O_APPEND writes at the end", "f=one", func(t *T) {
		fd := t.open("f", unix.O_APPEND|unix.O_RDWR, 0)
		_, err := unix.Seek(fd, 0, unix.SEEK_SET)
		t.must(err)
		t.put(fd, "two")
		t.reads("f", "onetwo")
	})
	a.test("open/O_APPEND by two", "f", func(t *T) {
		x, y := t.open("f", unix.O_APPEND|unix.O_WRONLY, 0), t.open("f", unix.O_APPEND|unix.O_WRONLY, 0)
		for _, fd := range []int{x, y, x, y, y} {
			t.put(fd, itoa(fd-x))
		}
		t.reads("f", strings.NewReplacer("b", itoa(y-x), "a", "0").Replace("ababb"))
	})
	a.test("open/O_APPEND of two processes loses nothing", "f", func(t *T) {
		fd := t.open("f", unix.O_APPEND|unix.O_WRONLY, 0)
		t.put(fd, "a")
		same(t, "the child", t.child("append", t.at("f"), "b"), "ok")
		t.put(fd, "c")
		same(t, "the child", t.child("append", t.at("f"), "d"), "ok")
		t.reads("f", "abcd")
	})
	a.test("open/pwrite with O_APPEND appends, on Linux", "f=one", func(t *T) {
		_, err := unix.Pwrite(t.open("f", unix.O_APPEND|unix.O_WRONLY, 0), []byte("two"), 0)
		t.must(err)
		t.reads("f", "onetwo")
	})
	a.test("open/O_APPEND is set later", "f=one", func(t *T) {
		fd := t.open("f", unix.O_WRONLY, 0)
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_APPEND)
		t.must(err)
		t.put(fd, "two")
		t.reads("f", "onetwo")
	})
	a.test("open/O_DIRECTORY", "d/ f l->d", func(t *T) {
		t.must(t.opening("d", unix.O_DIRECTORY))
		t.must(t.opening("l", unix.O_DIRECTORY))
		t.fails(t.opening("f", unix.O_DIRECTORY), unix.ENOTDIR)
	})
	a.test("open/O_NOFOLLOW", "f l->f d/f m->d", func(t *T) {
		t.must(t.opening("f", unix.O_NOFOLLOW))
		t.fails(t.opening("l", unix.O_NOFOLLOW), unix.ELOOP)
		t.must(t.opening("m/f", unix.O_NOFOLLOW))
		t.fails(t.opening("m", unix.O_NOFOLLOW|unix.O_DIRECTORY), unix.ENOTDIR, unix.ELOOP)
	})
	a.test("open/O_PATH reads nothing", "f=text", func(t *T) {
		fd := t.open("f", unix.O_PATH, 0)
		_, err := unix.Read(fd, make([]byte, 1))
		t.fails(err, unix.EBADF)
		same(t, "size", t.fstat(fd).Size, 4)
	})
	a.test("open/O_PATH of a link", "l->none", func(t *T) {
		fd := t.open("l", unix.O_PATH|unix.O_NOFOLLOW, 0)
		b := make([]byte, 16)
		n, err := unix.Readlinkat(fd, "", b)
		t.must(err)
		same(t, "target", string(b[:n]), "none")
	})
	a.user("open/O_PATH needs no permission", "f", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0))
		t.must(t.opening("f", unix.O_PATH))
		t.fails(t.opening("f", unix.O_RDONLY), unix.EACCES)
	})
	a.test("open/O_PATH is opened by way of /proc", "f=text", func(t *T) {
		fd := t.open("f", unix.O_PATH, 0)
		got, err := os.ReadFile("/proc/self/fd/" + itoa(fd))
		t.must(err)
		same(t, "text", string(got), "text")
	})
	a.test("open/O_TMPFILE has no name", "d/", func(t *T) {
		fd := t.open("d", unix.O_TMPFILE|unix.O_RDWR, 0o640)
		t.put(fd, "text")
		t.holds(fd, 0, []byte("text"))
		st := t.fstat(fd)
		same(t, "links", st.Nlink, 0)
		same(t, "mode", st.Mode, unix.S_IFREG|0o640)
		same(t, "what is there", t.names("d"), "")
	})
	a.test("open/O_TMPFILE gets a name", "d/", func(t *T) {
		fd := t.open("d", unix.O_TMPFILE|unix.O_RDWR, 0o644)
		t.put(fd, "text")
		t.must(unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+itoa(fd), unix.AT_FDCWD, t.at("f"), unix.AT_SYMLINK_FOLLOW))
		t.put(fd, " more")
		t.reads("f", "text more")
		same(t, "inode", t.stat("f").Ino, t.fstat(fd).Ino)
		same(t, "links", t.nlink("f"), 1)
	})
	a.test("open/O_TMPFILE gets no name that is taken", "f=old", func(t *T) {
		fd := t.open(".", unix.O_TMPFILE|unix.O_RDWR, 0o644)
		err := unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+itoa(fd), unix.AT_FDCWD, t.at("f"), unix.AT_SYMLINK_FOLLOW)
		t.fails(err, unix.EEXIST)
		t.reads("f", "old")
	})
	a.test("open/O_TMPFILE with O_EXCL stays without a name", "", func(t *T) {
		fd := t.open(".", unix.O_TMPFILE|unix.O_EXCL|unix.O_RDWR, 0o644)
		err := unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+itoa(fd), unix.AT_FDCWD, t.at("f"), unix.AT_SYMLINK_FOLLOW)
		t.fails(err, unix.ENOENT)
		t.gone("f")
	})
	a.test("open/O_TMPFILE read-only", "", func(t *T) { t.fails(t.opening(".", unix.O_TMPFILE|unix.O_RDONLY), unix.EINVAL) })
	a.test("open/O_TMPFILE in a file", "f", func(t *T) { t.fails(t.opening("f", unix.O_TMPFILE|unix.O_RDWR), unix.ENOTDIR) })
	a.test("open/100 files without names", "", func(t *T) {
		var fds []int
		for i := range 100 {
			fds = append(fds, t.open(".", unix.O_TMPFILE|unix.O_RDWR, 0o600))
			t.put(fds[i], itoa(i))
		}
		for i, fd := range fds {
			t.holds(fd, 0, []byte(itoa(i)))
		}
	})
	a.test("open/reading what is open for writing only", "f=text", func(t *T) {
		_, err := unix.Read(t.open("f", unix.O_WRONLY, 0), make([]byte, 1))
		t.fails(err, unix.EBADF)
	})
	a.test("open/writing what is open for reading only", "f=text", func(t *T) {
		_, err := unix.Write(t.open("f", unix.O_RDONLY, 0), []byte("x"))
		t.fails(err, unix.EBADF)
		t.reads("f", "text")
	})
	a.test("open/a directory is not read", "d/", func(t *T) {
		_, err := unix.Read(t.open("d", unix.O_RDONLY, 0), make([]byte, 1))
		t.fails(err, unix.EISDIR)
	})
	a.test("open/O_SYNC and O_DSYNC write through", "", func(t *T) {
		for i, flag := range []int{unix.O_SYNC, unix.O_DSYNC} {
			t.put(t.open(itoa(i), unix.O_CREAT|unix.O_WRONLY|flag, 0o644), "text")
			t.reads(itoa(i), "text")
		}
	})
	a.test("open/O_NOATIME of one's own", "f=text", func(t *T) { t.must(t.opening("f", unix.O_NOATIME)) })
	a.test("open/200 at once", "f=text", func(t *T) {
		for range 200 {
			t.holds(t.open("f", unix.O_RDONLY, 0), 0, []byte("text"))
		}
	})
	a.test("open/openat2 stays beneath", "d/f=1 d/out->../secret secret=s", func(t *T) {
		d := t.open("d", unix.O_PATH, 0)
		how := &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH}
		t.must(closing(unix.Openat2(d, "f", how)))
		t.fails(closing(unix.Openat2(d, "out", how)), unix.EXDEV)
		t.fails(closing(unix.Openat2(d, "../secret", how)), unix.EXDEV)
		how.Resolve = unix.RESOLVE_NO_SYMLINKS
		t.fails(closing(unix.Openat2(d, "out", how)), unix.ELOOP)
	})
	a.test("open/dup shares the offset", "f=abcdef", func(t *T) {
		fd := t.open("f", unix.O_RDONLY, 0)
		other, err := unix.Dup(fd)
		t.must(err)
		t.cleanup(func() { _ = unix.Close(other) })
		b := make([]byte, 3)
		_, _ = unix.Read(fd, b)
		_, _ = unix.Read(other, b)
		same(t, "bytes", string(b), "def")
	})
}

func init() {
	children["append"] = func(args []string) string {
		f, err := os.OpenFile(args[0], os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(args[1])
		}
		return said(err)
	}
}
