//go:build linux

package posix

import (
	"os"

	"golang.org/x/sys/unix"
)

// kinds are all kinds of file, and how to make one.
var kinds = []struct {
	name string
	mode uint32
	make func(path string) error
}{
	{"file", unix.S_IFREG, func(p string) error { return os.WriteFile(p, nil, 0o644) }},
	{"directory", unix.S_IFDIR, func(p string) error { return os.Mkdir(p, 0o755) }},
	{"symbolic link", unix.S_IFLNK, func(p string) error { return os.Symlink("none", p) }},
	{"FIFO", unix.S_IFIFO, func(p string) error { return unix.Mkfifo(p, 0o644) }},
	{"socket", unix.S_IFSOCK, func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o644, 0) }},
}

// nodeCases are the same questions of every kind of file.
func nodeCases(a *area) {
	for _, k := range kinds {
		is := func(t *T, name string) { same(t, "kind of "+name, t.stat(name).Mode&unix.S_IFMT, k.mode) }
		a.test("kind/"+k.name+" is one", "", func(t *T) {
			t.must(k.make(t.at("x")))
			is(t, "x")
			entries, err := os.ReadDir(t.at("."))
			t.must(err)
			info, err := entries[0].Info()
			t.must(err)
			same(t, "type in the listing", entries[0].Type(), info.Mode().Type())
		})
		a.test("kind/"+k.name+" is not made where something is", "f", func(t *T) {
			if k.mode != unix.S_IFREG {
				t.fails(k.make(t.at("f")), unix.EEXIST)
			}
			t.must(k.make(t.at("x")))
			t.fails(unix.Mkdir(t.at("x"), 0o755), unix.EEXIST)
			t.fails(unix.Symlink("y", t.at("x")), unix.EEXIST)
			t.fails(unix.Mkfifo(t.at("x"), 0o644), unix.EEXIST)
			t.fails(t.opening("x", unix.O_CREAT|unix.O_EXCL|unix.O_RDWR), unix.EEXIST)
			is(t, "x")
		})
		a.test("kind/"+k.name+" is renamed", "d/", func(t *T) {
			t.must(k.make(t.at("x")))
			ino := t.stat("x").Ino
			t.must(os.Rename(t.at("x"), t.at("d/y")))
			is(t, "d/y")
			same(t, "inode", t.stat("d/y").Ino, ino)
			t.gone("x")
		})
		a.test("kind/"+k.name+" is removed", "", func(t *T) {
			t.must(k.make(t.at("x")))
			t.must(os.Remove(t.at("x")))
			t.gone("x")
			same(t, "what is there", t.names("."), "")
		})
		a.test("kind/"+k.name+" gets times", "", func(t *T) {
			t.must(k.make(t.at("x")))
			times := []unix.Timespec{{Sec: 1, Nsec: 2}, {Sec: 3, Nsec: 4}}
			t.must(unix.UtimesNanoAt(unix.AT_FDCWD, t.at("x"), times, unix.AT_SYMLINK_NOFOLLOW))
			st := t.stat("x")
			same(t, "atime", st.Atim, times[0])
			same(t, "mtime", st.Mtim, times[1])
		})
		if k.mode != unix.S_IFLNK {
			a.test("kind/"+k.name+" gets permissions", "", func(t *T) {
				t.must(k.make(t.at("x")))
				for _, mode := range []uint32{0, 0o111, 0o700, 0o640, 0o777} {
					t.must(unix.Chmod(t.at("x"), mode))
					same(t, "mode", t.mode("x"), mode)
				}
				is(t, "x")
			})
		}
		if k.mode != unix.S_IFDIR {
			a.test("kind/"+k.name+" gets another name", "", func(t *T) {
				t.must(k.make(t.at("x")))
				t.must(unix.Linkat(unix.AT_FDCWD, t.at("x"), unix.AT_FDCWD, t.at("y"), 0))
				is(t, "y")
				same(t, "links", t.nlink("x"), 2)
				same(t, "inode", t.stat("y").Ino, t.stat("x").Ino)
			})
			a.test("kind/"+k.name+" is no directory", "", func(t *T) {
				t.must(k.make(t.at("x")))
				t.fails(unix.Rmdir(t.at("x")), unix.ENOTDIR)
				t.fails(t.opening("x", unix.O_DIRECTORY|unix.O_NOFOLLOW), unix.ENOTDIR)
				t.fails(unix.Lstat(t.at("x/y"), &unix.Stat_t{}), unix.ENOTDIR, unix.ENOENT)
			})
		}
		a.root("kind/"+k.name+" gets an owner", "", func(t *T) {
			t.must(k.make(t.at("x")))
			t.must(unix.Lchown(t.at("x"), 12, 34))
			st := t.stat("x")
			same(t, "owner", [2]uint32{st.Uid, st.Gid}, [2]uint32{12, 34})
			is(t, "x")
		})
		a.test("kind/"+k.name+" belongs to who makes it", "", func(t *T) {
			t.must(k.make(t.at("x")))
			st := t.stat("x")
			same(t, "owner", [2]uint32{st.Uid, st.Gid}, [2]uint32{uint32(os.Getuid()), uint32(os.Getgid())})
		})
	}
	for _, dev := range []struct {
		name string
		kind uint32
	}{{"character device", unix.S_IFCHR}, {"block device", unix.S_IFBLK}} {
		a.root("kind/"+dev.name+" keeps its numbers", "", func(t *T) {
			t.must(unix.Mknod(t.at("x"), dev.kind|0o600, int(unix.Mkdev(259, 65537))))
			st := t.stat("x")
			same(t, "mode", st.Mode, dev.kind|0o600)
			same(t, "numbers", st.Rdev, unix.Mkdev(259, 65537))
			same(t, "size", st.Size, 0)
			t.must(os.Rename(t.at("x"), t.at("y")))
			same(t, "numbers", t.stat("y").Rdev, unix.Mkdev(259, 65537))
		})
		a.user("kind/"+dev.name+" is not for everybody", "", func(t *T) {
			t.fails(unix.Mknod(t.at("x"), dev.kind|0o600, int(unix.Mkdev(1, 3))), unix.EPERM)
			t.gone("x")
		})
	}
	a.test("kind/a regular file by mknod", "", func(t *T) {
		t.must(unix.Mknod(t.at("f"), unix.S_IFREG|0o640, 0))
		same(t, "mode", t.stat("f").Mode, unix.S_IFREG|0o640)
		t.write("f", "text")
		t.reads("f", "text")
	})
	a.test("kind/no directory by mknod", "", func(t *T) {
		t.fails(unix.Mknod(t.at("d"), unix.S_IFDIR|0o755, 0), unix.EINVAL, unix.EPERM)
	})
}
