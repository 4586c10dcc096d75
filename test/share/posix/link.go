//go:build linux

package posix

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// linkCases are about hard links.
func linkCases(a *area) {
	a.test("link/one file, two names", "a=1", func(t *T) {
		t.must(os.Link(t.at("a"), t.at("b")))
		t.write("b", "22")
		t.reads("a", "22")
		same(t, "inode", t.stat("a").Ino, t.stat("b").Ino)
		same(t, "links", [2]uint64{t.nlink("a"), t.nlink("b")}, [2]uint64{2, 2})
	})
	a.test("link/two names that were there", "a=1 b=>a", func(t *T) {
		same(t, "links", t.nlink("a"), 2)
		same(t, "inode", t.stat("a").Ino, t.stat("b").Ino)
		t.reads("b", "1")
	})
	a.test("link/a write through one of two names that were there", "a=1 b=>a", func(t *T) {
		t.write("a", "22")
		t.reads("b", "22")
	})
	a.test("link/in another directory", "d/a=1 e/", func(t *T) {
		t.must(os.Link(t.at("d/a"), t.at("e/b")))
		t.must(os.Remove(t.at("d/a")))
		t.reads("e/b", "1")
		same(t, "links", t.nlink("e/b"), 1)
	})
	a.test("link/the first name goes", "a=1", func(t *T) {
		t.must(os.Link(t.at("a"), t.at("b")))
		fd := t.open("a", unix.O_RDWR, 0)
		t.must(os.Remove(t.at("a")))
		t.put(fd, "22")
		t.reads("b", "22")
		same(t, "links", t.fstat(fd).Nlink, 1)
	})
	a.test("link/the second name goes", "a=1", func(t *T) {
		t.must(os.Link(t.at("a"), t.at("b")))
		t.must(os.Remove(t.at("b")))
		t.reads("a", "1")
		same(t, "links", t.nlink("a"), 1)
	})
	a.test("link/the second name is written when the first is gone", "a=1 b=>a", func(t *T) {
		fd := t.open("a", unix.O_RDONLY, 0)
		t.must(os.Remove(t.at("a")))
		t.write("b", "22")
		t.reads("b", "22")
		t.must(os.Rename(t.at("b"), t.at("c")))
		t.reads("c", "22")
		t.holds(fd, 0, []byte("22"))
	})
	a.test("link/a name moves on", "a=1 d/", func(t *T) {
		t.must(os.Link(t.at("a"), t.at("b")))
		t.must(os.Rename(t.at("b"), t.at("d/c")))
		t.must(os.Remove(t.at("a")))
		t.reads("d/c", "1")
		t.must(unix.Chmod(t.at("d/c"), 0o600))
		same(t, "mode", t.mode("d/c"), 0o600)
	})
	a.test("link/50 names", "a=1", func(t *T) {
		for i := range 50 {
			t.must(os.Link(t.at("a"), t.at("l"+itoa(i))))
		}
		same(t, "links", t.nlink("a"), 51)
		for i := range 50 {
			t.must(os.Remove(t.at("l" + itoa(i))))
		}
		same(t, "links", t.nlink("a"), 1)
	})
	a.test("link/mode and attributes are the file's", "a=1", func(t *T) {
		t.must(os.Link(t.at("a"), t.at("b")))
		t.must(unix.Chmod(t.at("a"), 0o640))
		t.must(unix.Setxattr(t.at("a"), "user.x", []byte("y"), 0))
		same(t, "mode", t.mode("b"), 0o640)
		v := make([]byte, 8)
		n, err := unix.Getxattr(t.at("b"), "user.x", v)
		t.must(err)
		same(t, "attribute", string(v[:n]), "y")
	})
	a.test("link/changes ctime and no mtime", "a=1", func(t *T) {
		before := t.stat("a")
		tick()
		t.must(os.Link(t.at("a"), t.at("b")))
		after := t.stat("a")
		same(t, "mtime", after.Mtim, before.Mtim)
		if after.Ctim == before.Ctim {
			t.errorf("ctime has not changed")
		}
	})
	a.test("link/of what was opened", "a=1", func(t *T) {
		fd := t.open("a", unix.O_PATH, 0)
		t.must(unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+itoa(fd), unix.AT_FDCWD, t.at("b"), unix.AT_SYMLINK_FOLLOW))
		same(t, "inode", t.stat("b").Ino, t.stat("a").Ino)
	})
	a.test("link/a link is followed on demand", "f=1 l->f", func(t *T) {
		t.must(unix.Linkat(unix.AT_FDCWD, t.at("l"), unix.AT_FDCWD, t.at("b"), unix.AT_SYMLINK_FOLLOW))
		same(t, "inode", t.stat("b").Ino, t.stat("f").Ino)
		t.must(unix.Linkat(unix.AT_FDCWD, t.at("l"), unix.AT_FDCWD, t.at("c"), 0))
		same(t, "inode", t.stat("c").Ino, t.stat("l").Ino)
	})
	for _, c := range []struct {
		name, tree, from, to string
		want                 unix.Errno
	}{
		{"what is missing", "", "a", "b", unix.ENOENT},
		{"into what is missing", "a", "a", "none/b", unix.ENOENT},
		{"into a file", "a f", "a", "f/b", unix.ENOTDIR},
		{"over a file", "a=1 b=2", "a", "b", unix.EEXIST},
		{"over a directory", "a=1 d/", "a", "d", unix.EEXIST},
		{"over a dangling link", "a=1 l->none", "a", "l", unix.EEXIST},
		{"of a directory", "d/", "d", "b", unix.EPERM},
	} {
		a.test("link/"+c.name, c.tree, func(t *T) {
			before := t.names(".")
			t.fails(unix.Link(t.at(c.from), t.at(c.to)), c.want)
			same(t, "what is there", t.names("."), before)
		})
	}
	a.test("link/to another file system", "a", func(t *T) { t.fails(unix.Link(t.at("a"), "/dev/posix-link"), unix.EXDEV) })
	a.user("link/into a directory that may not be written", "a d/", func(t *T) {
		t.must(unix.Chmod(t.at("d"), 0o555))
		t.cleanup(func() { t.must(unix.Chmod(t.at("d"), 0o755)) })
		t.fails(unix.Link(t.at("a"), t.at("d/b")), unix.EACCES)
	})
}

// symlinkCases are about symbolic links.
func symlinkCases(a *area) {
	targets := []struct{ name, target string }{
		{"dangling", "none"}, {"absolute", "/nowhere/at/all"}, {"with dots", "../../x/./y"}, {"with spaces", " a b "},
		{"not UTF-8", "\xff\xfe"}, {"with a newline", "a\nb"}, {"of 255 bytes", strings.Repeat("t", 255)},
		{"of 1000 bytes", strings.Repeat("t/", 500)}, {"of 4095 bytes", strings.Repeat("t", pathMax-1)}, {"to itself", "l"},
		{"to /proc", "/proc/self/root"}, {"with a slash behind it", "d/"},
	}
	for _, l := range targets {
		a.test("symlink/"+l.name, "", func(t *T) {
			t.must(os.Symlink(l.target, t.at("l")))
			got, err := os.Readlink(t.at("l"))
			t.must(err)
			same(t, "target", got, l.target)
			st := t.stat("l")
			same(t, "size", st.Size, int64(len(l.target)))
			same(t, "mode", st.Mode, unix.S_IFLNK|0o777)
			t.must(os.Rename(t.at("l"), t.at("m")))
			got, err = os.Readlink(t.at("m"))
			t.must(err)
			same(t, "target", got, l.target)
		})
	}
	a.test("symlink/a target of 4096 bytes", "", func(t *T) {
		t.fails(unix.Symlink(strings.Repeat("t", pathMax), t.at("l")), unix.ENAMETOOLONG)
		t.gone("l")
	})
	a.test("symlink/an empty target", "", func(t *T) { t.fails(unix.Symlink("", t.at("l")), unix.ENOENT) })
	a.test("symlink/that was there", "l->f f=1 m->none", func(t *T) {
		t.reads("l", "1")
		got, err := os.Readlink(t.at("m"))
		t.must(err)
		same(t, "target", got, "none")
	})
	a.test("symlink/through it to a file", "f=1 l->f", func(t *T) {
		t.write("l", "22")
		t.reads("f", "22")
	})
	a.test("symlink/through it to a directory", "d/ l->d", func(t *T) {
		t.write("l/f", "1")
		t.reads("d/f", "1")
	})
	a.test("symlink/an absolute one is followed", "f=1", func(t *T) {
		t.must(os.Symlink(t.at("f"), t.at("l")))
		t.reads("l", "1")
	})
	a.test("symlink/mkdir does not follow it", "l->d", func(t *T) {
		t.fails(unix.Mkdir(t.at("l"), 0o755), unix.EEXIST)
		t.gone("d")
	})
	a.test("symlink/removing it leaves what it leads to", "f=1 l->f d/g m->d", func(t *T) {
		t.must(os.Remove(t.at("l")))
		t.must(os.Remove(t.at("m")))
		t.reads("f", "1")
		t.reads("d/g", "")
	})
	a.test("symlink/rmdir does not follow it", "d/ m->d", func(t *T) { t.fails(unix.Rmdir(t.at("m")), unix.ENOTDIR) })
	a.test("symlink/chmod follows it", "f l->f", func(t *T) {
		t.must(unix.Chmod(t.at("l"), 0o600))
		same(t, "mode", t.mode("f"), 0o600)
	})
	a.test("symlink/readlink of a file", "f d/", func(t *T) {
		for _, name := range []string{"f", "d"} {
			_, err := unix.Readlink(t.at(name), make([]byte, 8))
			t.fails(err, unix.EINVAL)
		}
	})
	a.test("symlink/readlink into little room", "l->target", func(t *T) {
		b := make([]byte, 3)
		n, err := unix.Readlink(t.at("l"), b)
		t.must(err)
		same(t, "what fits", string(b[:n]), "tar")
	})
	a.test("symlink/a circle", "a->b b->c c->a", func(t *T) {
		t.fails(t.opening("a", unix.O_RDONLY), unix.ELOOP)
		got, err := os.Readlink(t.at("a"))
		t.must(err)
		same(t, "target", got, "b")
	})
	a.test("symlink/one is replaced", "f=1 g=2 l->f", func(t *T) {
		t.reads("l", "1")
		t.must(os.Symlink("g", t.at("l.new")))
		t.must(os.Rename(t.at("l.new"), t.at("l")))
		t.reads("l", "2")
	})
	a.test("symlink/one is removed and made again", "f=1 g=2 l->f", func(t *T) {
		t.reads("l", "1")
		t.must(os.Remove(t.at("l")))
		t.must(os.Symlink("g", t.at("l")))
		t.reads("l", "2")
	})
}

// unlinkCases are about names that go.
func unlinkCases(a *area) {
	a.test("unlink/a file", "a=1 b=2", func(t *T) {
		t.must(unix.Unlink(t.at("a")))
		t.gone("a")
		same(t, "what is there", t.names("."), "b")
		t.fails(unix.Unlink(t.at("a")), unix.ENOENT)
	})
	a.test("unlink/while it is open", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(unix.Unlink(t.at("f")))
		t.holds(fd, 0, []byte("text"))
		t.put(fd, "TEXT, and more")
		t.holds(fd, 0, []byte("TEXT, and more"))
		st := t.fstat(fd)
		same(t, "links", st.Nlink, 0)
		same(t, "size", st.Size, 14)
	})
	a.test("unlink/while it is open for reading", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDONLY, 0)
		t.must(unix.Unlink(t.at("f")))
		t.write("f", "other")
		t.holds(fd, 0, []byte("text"))
		t.reads("f", "other")
	})
	a.test("unlink/what is open can be changed", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(unix.Unlink(t.at("f")))
		t.must(unix.Fchmod(fd, 0o600))
		t.must(unix.Fsetxattr(fd, "user.x", []byte("y"), 0))
		t.must(unix.Futimes(fd, []unix.Timeval{{Sec: 1}, {Sec: 2}}))
		st := t.fstat(fd)
		same(t, "mode", st.Mode&0o7777, 0o600)
		same(t, "mtime", st.Mtim.Sec, 2)
		v := make([]byte, 4)
		n, err := unix.Fgetxattr(fd, "user.x", v)
		t.must(err)
		same(t, "attribute", string(v[:n]), "y")
	})
	a.test("unlink/what is open can be opened again", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDONLY, 0)
		t.must(unix.Unlink(t.at("f")))
		got, err := os.ReadFile("/proc/self/fd/" + itoa(fd))
		t.must(err)
		same(t, "text", string(got), "text")
		again, err := unix.Open("/proc/self/fd/"+itoa(fd), unix.O_RDWR|unix.O_CLOEXEC, 0)
		t.must(err)
		t.cleanup(func() { _ = unix.Close(again) })
		t.put(again, "TEXT")
		t.holds(fd, 0, []byte("TEXT"))
	})
	a.test("unlink/what is mapped", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		m, err := unix.Mmap(fd, 0, 4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		t.must(err)
		t.must(unix.Unlink(t.at("f")))
		copy(m, "TEXT")
		t.holds(fd, 0, []byte("TEXT"))
		t.must(unix.Munmap(m))
	})
	a.test("unlink/a working directory", "d/e/", func(t *T) {
		d := t.open("d/e", unix.O_PATH|unix.O_DIRECTORY, 0)
		t.must(unix.Rmdir(t.at("d/e")))
		fd, err := unix.Openat(d, "f", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		t.fails(closing(fd, err), unix.ENOENT)
		var st unix.Stat_t
		t.must(unix.Fstat(d, &st))
		same(t, "links", st.Nlink, 0)
		t.must(unix.Mkdir(t.at("d/e"), 0o755))
		same(t, "what is there", t.names("d/e"), "")
	})
	a.test("unlink/a directory", "d/", func(t *T) { t.fails(unix.Unlink(t.at("d")), unix.EISDIR) })
	a.test("unlink/with a slash behind it", "f", func(t *T) { t.fails(unix.Unlink(t.dir+"/f/"), unix.ENOTDIR) })
	a.user("unlink/in a directory that may not be written", "d/f", func(t *T) {
		t.must(unix.Chmod(t.at("d"), 0o555))
		t.cleanup(func() { t.must(unix.Chmod(t.at("d"), 0o755)) })
		t.fails(unix.Unlink(t.at("d/f")), unix.EACCES)
	})
	a.user("unlink/what may not be written", "d/f", func(t *T) {
		t.must(unix.Chmod(t.at("d/f"), 0))
		t.must(unix.Unlink(t.at("d/f")))
		t.gone("d/f")
	})
	a.test("unlink/updates times", "d/f=1", func(t *T) {
		t.must(os.Link(t.at("d/f"), t.at("g")))
		t.must(unix.UtimesNanoAt(unix.AT_FDCWD, t.at("d"), []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0))
		before := t.stat("g")
		tick()
		t.must(unix.Unlink(t.at("d/f")))
		if t.stat("d").Mtim.Sec == 1 {
			t.errorf("the directory's mtime is old")
		}
		if t.stat("g").Ctim == before.Ctim {
			t.errorf("the other name's ctime has not changed")
		}
	})
	a.test("unlink/200 open files", "", func(t *T) {
		var fds []int
		for i := range 200 {
			fds = append(fds, t.file("f"))
			t.put(fds[i], itoa(i))
			t.must(unix.Unlink(t.at("f")))
		}
		for i, fd := range fds {
			t.holds(fd, 0, []byte(itoa(i)))
		}
	})
}
