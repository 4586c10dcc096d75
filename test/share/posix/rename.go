//go:build linux

package posix

import (
	"os"

	"golang.org/x/sys/unix"
)

func (t *T) rename(from, to string, flags uint) error {
	return unix.Renameat2(unix.AT_FDCWD, t.at(from), unix.AT_FDCWD, t.at(to), flags)
}

// renameCases are about renames that succeed.
func renameCases(a *area) {
	const exchange, noReplace = unix.RENAME_EXCHANGE, unix.RENAME_NOREPLACE
	a.test("rename/a file", "a=1", func(t *T) {
		ino := t.stat("a").Ino
		t.must(t.rename("a", "b", 0))
		t.gone("a")
		t.reads("b", "1")
		same(t, "inode", t.stat("b").Ino, ino)
	})
	a.test("rename/over a file", "a=1 b=2", func(t *T) {
		t.must(t.rename("a", "b", 0))
		t.gone("a")
		t.reads("b", "1")
		same(t, "what is there", t.names("."), "b")
	})
	a.test("rename/over a file that is open", "a=1 b=2", func(t *T) {
		old := t.open("b", unix.O_RDWR, 0)
		t.must(t.rename("a", "b", 0))
		t.holds(old, 0, []byte("2"))
		same(t, "links of the old one", t.fstat(old).Nlink, 0)
		t.put(old, "x")
		t.reads("b", "1")
	})
	a.test("rename/a file that is open", "a=1 d/", func(t *T) {
		fd := t.open("a", unix.O_RDWR, 0)
		t.must(t.rename("a", "d/b", 0))
		t.put(fd, "xyz")
		t.reads("d/b", "xyz")
		same(t, "inode", t.fstat(fd).Ino, t.stat("d/b").Ino)
		t.must(unix.Fchmod(fd, 0o600))
		same(t, "mode", t.mode("d/b"), 0o600)
	})
	a.test("rename/to another directory", "d/a=1 e/", func(t *T) {
		t.must(t.rename("d/a", "e/b", 0))
		t.reads("e/b", "1")
		same(t, "what is left", t.names("d"), "")
		same(t, "what has come", t.names("e"), "b")
	})
	a.test("rename/to itself", "a=1", func(t *T) {
		t.must(t.rename("a", "a", 0))
		t.reads("a", "1")
	})
	a.test("rename/to another name of the same file does nothing", "a=1 b=>a", func(t *T) {
		t.must(t.rename("a", "b", 0))
		t.reads("a", "1")
		t.reads("b", "1")
		same(t, "links", t.nlink("a"), 2)
	})
	a.test("rename/a directory with what is in it", "d/e/f=1 g/", func(t *T) {
		t.must(t.rename("d", "g/h", 0))
		t.reads("g/h/e/f", "1")
		t.gone("d")
		same(t, "parent", t.stat("g/h/..").Ino, t.stat("g").Ino)
	})
	a.test("rename/over an empty directory", "d/f=1 e/", func(t *T) {
		t.must(t.rename("d", "e", 0))
		t.reads("e/f", "1")
		t.gone("d")
	})
	a.test("rename/over a directory that was emptied", "d/f=1 e/g=2", func(t *T) {
		t.must(os.Remove(t.at("e/g")))
		t.must(t.rename("d", "e", 0))
		same(t, "what is there", t.names("e"), "f")
	})
	a.test("rename/a directory of which something was removed", "d/a=1 d/b=2 d/e/x=3 d/e/y=4 n/", func(t *T) {
		t.must(os.Remove(t.at("d/a")))
		t.must(os.Remove(t.at("d/e/x")))
		t.write("d/new", "5")
		t.must(t.rename("d", "n/d", 0))
		same(t, "what is there", t.names("n/d"), "b e new")
		same(t, "what is in it", t.names("n/d/e"), "y")
		t.reads("n/d/b", "2")
		t.reads("n/d/e/y", "4")
		t.gone("d")
		t.must(unix.Mkdir(t.at("d"), 0o755))
		same(t, "what is in a new one", t.names("d"), "")
		t.must(t.rename("n/d", "d", 0))
		same(t, "what is there", t.names("d"), "b e new")
	})
	a.test("rename/a directory whose files are open", "d/a=1 d/e/b=2", func(t *T) {
		x, y := t.open("d/a", unix.O_RDWR, 0), t.open("d/e/b", unix.O_RDONLY, 0)
		t.must(t.rename("d", "g", 0))
		t.put(x, "new")
		t.reads("g/a", "new")
		t.write("g/e/b", "other")
		t.holds(y, 0, []byte("other"))
		same(t, "inode", t.fstat(y).Ino, t.stat("g/e/b").Ino)
	})
	a.test("rename/a directory keeps modes, times and links", "d/a=1 d/l->a d/e/", func(t *T) {
		t.must(unix.Chmod(t.at("d/a"), 0o440))
		t.must(t.utimes("d/a", old, old, 0))
		t.must(t.utimes("d/e", old, old, 0))
		ino := t.stat("d/l").Ino
		t.must(t.rename("d", "g", 0))
		same(t, "mode", t.mode("g/a"), 0o440)
		same(t, "mtime of a file", t.stat("g/a").Mtim, old)
		same(t, "mtime of a directory", t.stat("g/e").Mtim, old)
		t.reads("g/l", "1")
		same(t, "inode of a link", t.stat("g/l").Ino, ino)
	})
	a.test("rename/a new directory", "e/g=2", func(t *T) {
		t.must(os.Mkdir(t.at("n"), 0o755))
		t.write("n/f", "1")
		t.must(t.rename("n", "e/n", 0))
		t.must(t.rename("e/n", "m", 0))
		t.reads("m/f", "1")
		same(t, "what is left", t.names("e"), "g")
	})
	a.test("rename/a directory while it is somebody's working directory", "", func(t *T) {
		t.must(os.MkdirAll(t.at("d/e"), 0o755))
		t.write("d/e/f", "1")
		dir := t.open("d/e", unix.O_PATH|unix.O_DIRECTORY, 0)
		t.must(t.rename("d", "g", 0))
		fd, err := unix.Openat(dir, "f", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		t.must(err)
		t.cleanup(func() { _ = unix.Close(fd) })
		t.holds(fd, 0, []byte("1"))
		var st unix.Stat_t
		t.must(unix.Fstatat(dir, "..", &st, 0))
		same(t, "parent", st.Ino, t.stat("g").Ino)
	})
	a.test("rename/a link itself", "l->f f=1", func(t *T) {
		t.must(t.rename("l", "m", 0))
		same(t, "kind", t.stat("m").Mode&unix.S_IFMT, unix.S_IFLNK)
		t.reads("m", "1")
	})
	a.test("rename/over a link", "l->f f=1 a=2", func(t *T) {
		t.must(t.rename("a", "l", 0))
		t.reads("l", "2")
		t.reads("f", "1")
	})
	a.test("rename/over one of two names", "a=1 b=2 c=>b", func(t *T) {
		t.must(t.rename("a", "b", 0))
		t.reads("c", "2")
		same(t, "links", t.nlink("c"), 1)
	})
	a.test("rename/updates times", "d/a=1 e/", func(t *T) {
		old := []unix.Timespec{{Sec: 1}, {Sec: 1}}
		for _, name := range []string{"d", "e", "d/a"} {
			t.must(unix.UtimesNanoAt(unix.AT_FDCWD, t.at(name), old, 0))
		}
		t.must(t.rename("d/a", "e/a", 0))
		if t.stat("d").Mtim.Sec == 1 || t.stat("e").Mtim.Sec == 1 {
			t.errorf("the directories' times are old")
		}
		same(t, "mtime of the file", t.stat("e/a").Mtim.Sec, 1)
	})
	a.test("rename/back and forth 100 times", "a=1 d/", func(t *T) {
		for range 100 {
			t.must(t.rename("a", "d/a", 0))
			t.must(t.rename("d/a", "a", 0))
		}
		t.reads("a", "1")
		same(t, "what is left", t.names("d"), "")
	})
	a.test("rename/as editors save", "f=old", func(t *T) {
		for i := range 20 {
			t.write("f.tmp", itoa(i))
			t.must(t.rename("f.tmp", "f", 0))
			t.reads("f", itoa(i))
		}
		same(t, "what is there", t.names("."), "f")
	})
	a.test("rename/NOREPLACE to a free name", "a=1", func(t *T) {
		t.must(t.rename("a", "b", noReplace))
		t.reads("b", "1")
	})
	a.test("rename/EXCHANGE of files", "a=1 b=2", func(t *T) {
		x, y := t.stat("a").Ino, t.stat("b").Ino
		t.must(t.rename("a", "b", exchange))
		t.reads("a", "2")
		t.reads("b", "1")
		same(t, "inodes", [2]uint64{t.stat("b").Ino, t.stat("a").Ino}, [2]uint64{x, y})
	})
	a.test("rename/EXCHANGE of files that are open", "a=1 b=2", func(t *T) {
		x, y := t.open("a", unix.O_RDWR, 0), t.open("b", unix.O_RDWR, 0)
		t.must(t.rename("a", "b", exchange))
		t.put(x, "one")
		t.put(y, "two")
		t.reads("a", "two")
		t.reads("b", "one")
	})
	a.test("rename/EXCHANGE of new directories", "", func(t *T) {
		t.must(plant(t.dir, "d/a=1 e/b=2"))
		t.must(t.rename("d", "e", exchange))
		t.reads("e/a", "1")
		t.reads("d/b", "2")
	})
	a.test("rename/EXCHANGE of directories", "d/a=1 e/b=2", func(t *T) {
		t.must(t.rename("d", "e", exchange))
		t.reads("e/a", "1")
		t.reads("d/b", "2")
	})
	a.test("rename/EXCHANGE of a file and a link", "a=1 l->none", func(t *T) {
		t.must(t.rename("a", "l", exchange))
		t.reads("l", "1")
		same(t, "kind", t.stat("a").Mode&unix.S_IFMT, unix.S_IFLNK)
	})
	a.test("rename/EXCHANGE of a file and a new directory", "a=1", func(t *T) {
		t.must(os.Mkdir(t.at("d"), 0o755))
		t.write("d/f", "2")
		t.must(t.rename("a", "d", exchange))
		t.reads("d", "1")
		t.reads("a/f", "2")
	})
	a.test("rename/EXCHANGE across directories", "d/a=1 e/b=2", func(t *T) {
		t.must(t.rename("d/a", "e/b", exchange))
		t.reads("d/a", "2")
		t.reads("e/b", "1")
	})
}

// renameErrorCases are about renames that change nothing.
func renameErrorCases(a *area) {
	const exchange, noReplace = unix.RENAME_EXCHANGE, unix.RENAME_NOREPLACE
	for _, c := range []struct {
		name, tree, from, to string
		flags                uint
		want                 []unix.Errno
	}{
		{"what is missing", "b=2", "a", "b", 0, []unix.Errno{unix.ENOENT}},
		{"into what is missing", "a=1", "a", "none/b", 0, []unix.Errno{unix.ENOENT}},
		{"into a file", "a=1 f", "a", "f/b", 0, []unix.Errno{unix.ENOTDIR}},
		{"a directory into itself", "d/", "d", "d/e", 0, []unix.Errno{unix.EINVAL}},
		{"a directory far into itself", "d/e/f/", "d", "d/e/f/g", 0, []unix.Errno{unix.EINVAL}},
		{"over one's own parent", "d/e/", "d/e", "d", 0, []unix.Errno{unix.ENOTEMPTY, unix.EEXIST}},
		{"a directory over a file", "d/ f=1", "d", "f", 0, []unix.Errno{unix.ENOTDIR}},
		{"a file over a directory", "d/ f=1", "f", "d", 0, []unix.Errno{unix.EISDIR}},
		{"a directory over a full one", "d/ e/f", "d", "e", 0, []unix.Errno{unix.ENOTEMPTY, unix.EEXIST}},
		{"a file over a full directory", "f=1 e/f", "f", "e", 0, []unix.Errno{unix.EISDIR, unix.ENOTEMPTY, unix.EEXIST}},
		{"a file below a file", "a=1 b=2", "a/x", "c", 0, []unix.Errno{unix.ENOTDIR}},
		{"a directory with a dot", "d/", "d/.", "e", 0, []unix.Errno{unix.EBUSY, unix.EINVAL}},
		{"NOREPLACE over a file", "a=1 b=2", "a", "b", noReplace, []unix.Errno{unix.EEXIST}},
		{"NOREPLACE over a directory", "a=1 d/", "a", "d", noReplace, []unix.Errno{unix.EEXIST}},
		{"NOREPLACE over itself", "a=1", "a", "a", noReplace, []unix.Errno{unix.EEXIST}},
		{"NOREPLACE over a dangling link", "a=1 l->none", "a", "l", noReplace, []unix.Errno{unix.EEXIST}},
		{"EXCHANGE with what is missing", "a=1", "a", "b", exchange, []unix.Errno{unix.ENOENT}},
		{"EXCHANGE of what is missing", "b=1", "a", "b", exchange, []unix.Errno{unix.ENOENT}},
		{"EXCHANGE with one's own parent", "d/e/", "d/e", "d", exchange, []unix.Errno{unix.EINVAL, unix.ENOTEMPTY}},
		{"EXCHANGE with one's own child", "d/e/", "d", "d/e", exchange, []unix.Errno{unix.EINVAL}},
		{"EXCHANGE and NOREPLACE", "a=1 b=2", "a", "b", exchange | noReplace, []unix.Errno{unix.EINVAL}},
		{"unknown flags", "a=1", "a", "b", 1 << 20, []unix.Errno{unix.EINVAL}},
		{"a file with a slash behind it", "a=1", "a/", "b", 0, []unix.Errno{unix.ENOTDIR}},
	} {
		a.test("rename/"+c.name, c.tree, func(t *T) {
			from, to := t.dir+"/"+c.from, t.dir+"/"+c.to
			before := t.names(".")
			t.fails(unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, c.flags), c.want...)
			same(t, "what is there", t.names("."), before)
		})
	}
	a.user("rename/out of a directory that may not be written", "d/a=1", func(t *T) {
		t.must(unix.Chmod(t.at("d"), 0o555))
		t.cleanup(func() { t.must(unix.Chmod(t.at("d"), 0o755)) })
		t.fails(t.rename("d/a", "a", 0), unix.EACCES)
		t.reads("d/a", "1")
	})
	a.user("rename/into a directory that may not be written", "d/ a=1", func(t *T) {
		t.must(unix.Chmod(t.at("d"), 0o555))
		t.cleanup(func() { t.must(unix.Chmod(t.at("d"), 0o755)) })
		t.fails(t.rename("a", "d/a", 0), unix.EACCES)
		t.reads("a", "1")
	})
	a.test("rename/to another file system", "a=1", func(t *T) {
		t.fails(unix.Rename(t.at("a"), "/proc/a"), unix.EXDEV)
		t.reads("a", "1")
	})
}
