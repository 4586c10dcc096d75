//go:build linux

package posix

import (
	"golang.org/x/sys/unix"
)

// atCases are about calls that start at a directory's descriptor.
func atCases(a *area) {
	dir := func(t *T, name string) int { return t.open(name, unix.O_PATH|unix.O_DIRECTORY, 0) }
	a.test("at/openat", "d/f=1", func(t *T) {
		fd, err := unix.Openat(dir(t, "d"), "f", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		t.must(err)
		t.cleanup(func() { _ = unix.Close(fd) })
		t.holds(fd, 0, []byte("1"))
	})
	a.test("at/openat makes a file", "d/", func(t *T) {
		t.must(closing(unix.Openat(dir(t, "d"), "f", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)))
		same(t, "mode", t.mode("d/f"), 0o600)
	})
	a.test("at/mkdirat, unlinkat", "d/", func(t *T) {
		d := dir(t, "d")
		t.must(unix.Mkdirat(d, "e", 0o750))
		same(t, "mode", t.mode("d/e"), 0o750)
		t.fails(unix.Unlinkat(d, "e", 0), unix.EISDIR)
		t.must(unix.Unlinkat(d, "e", unix.AT_REMOVEDIR))
		t.gone("d/e")
	})
	a.test("at/unlinkat of a file as a directory", "d/f", func(t *T) {
		t.fails(unix.Unlinkat(dir(t, "d"), "f", unix.AT_REMOVEDIR), unix.ENOTDIR)
	})
	a.test("at/renameat", "d/f=1 e/", func(t *T) {
		t.must(unix.Renameat(dir(t, "d"), "f", dir(t, "e"), "g"))
		t.reads("e/g", "1")
	})
	a.test("at/linkat, symlinkat, readlinkat", "d/f=1 e/", func(t *T) {
		d, e := dir(t, "d"), dir(t, "e")
		t.must(unix.Linkat(d, "f", e, "g", 0))
		t.reads("e/g", "1")
		t.must(unix.Symlinkat("g", e, "l"))
		b := make([]byte, 8)
		n, err := unix.Readlinkat(e, "l", b)
		t.must(err)
		same(t, "target", string(b[:n]), "g")
		t.reads("e/l", "1")
	})
	a.test("at/fstatat, with and without following", "d/f=text d/l->f", func(t *T) {
		d := dir(t, "d")
		var st unix.Stat_t
		t.must(unix.Fstatat(d, "l", &st, 0))
		same(t, "size", st.Size, 4)
		t.must(unix.Fstatat(d, "l", &st, unix.AT_SYMLINK_NOFOLLOW))
		same(t, "kind", st.Mode&unix.S_IFMT, unix.S_IFLNK)
	})
	a.test("at/fchmodat, fchownat, utimensat", "d/f", func(t *T) {
		d := dir(t, "d")
		t.must(unix.Fchmodat(d, "f", 0o601, 0))
		t.must(unix.Fchownat(d, "f", -1, -1, 0))
		t.must(unix.UtimesNanoAt(d, "f", []unix.Timespec{old, old}, 0))
		same(t, "mode", t.mode("d/f"), 0o601)
		same(t, "mtime", t.stat("d/f").Mtim, old)
	})
	a.test("at/mknodat, mkfifoat", "d/", func(t *T) {
		d := dir(t, "d")
		t.must(unix.Mknodat(d, "f", unix.S_IFREG|0o600, 0))
		t.must(unix.Mkfifoat(d, "p", 0o600))
		same(t, "kind", t.stat("d/p").Mode&unix.S_IFMT, unix.S_IFIFO)
	})
	a.test("at/faccessat", "d/f", func(t *T) {
		d := dir(t, "d")
		t.must(unix.Faccessat(d, "f", unix.R_OK, 0))
		t.fails(unix.Faccessat(d, "g", unix.R_OK, 0), unix.ENOENT)
	})
	a.test("at/a file is no directory to start from", "f", func(t *T) {
		fd := t.open("f", unix.O_RDONLY, 0)
		t.fails(closing(unix.Openat(fd, "x", unix.O_RDONLY|unix.O_CLOEXEC, 0)), unix.ENOTDIR)
		t.fails(unix.Mkdirat(fd, "x", 0o755), unix.ENOTDIR)
	})
	a.test("at/a directory that was moved", "d/f=1 e/", func(t *T) {
		d := dir(t, "d")
		t.must(t.rename("d", "e/d", 0))
		t.must(unix.Mkdirat(d, "new", 0o755))
		same(t, "what is there", t.names("e/d"), "f new")
	})
	a.test("at/a new directory that was moved", "e/", func(t *T) {
		t.must(unix.Mkdir(t.at("d"), 0o755))
		d := dir(t, "d")
		t.must(t.rename("d", "e/d", 0))
		t.must(closing(unix.Openat(d, "f", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)))
		same(t, "what is there", t.names("e/d"), "f")
	})
	a.test("at/a directory that was removed", "d/", func(t *T) {
		d := dir(t, "d")
		t.must(unix.Rmdir(t.at("d")))
		t.fails(unix.Mkdirat(d, "x", 0o755), unix.ENOENT)
		t.fails(closing(unix.Openat(d, "f", unix.O_RDONLY|unix.O_CLOEXEC, 0)), unix.ENOENT)
	})
	a.test("at/up and down again", "d/e/f=1 d/g=2", func(t *T) {
		fd, err := unix.Openat(dir(t, "d/e"), "../g", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		t.must(err)
		t.cleanup(func() { _ = unix.Close(fd) })
		t.holds(fd, 0, []byte("2"))
	})
}
