//go:build linux

package posix

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func (t *T) owner(name string) string {
	st := t.stat(name)
	return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
}

// ownerCases are about owners.
func ownerCases(a *area) {
	for _, o := range [][2]int{{0, 0}, {1, 1}, {1000, 1000}, {1000, 0}, {0, 1000}, {65534, 65534}, {123456, 654321}, {1<<31 - 1, 1<<31 - 1}} {
		a.root(fmt.Sprintf("owner/%d:%d", o[0], o[1]), "f d/ l->none", func(t *T) {
			for _, name := range []string{"f", "d", "l"} {
				t.must(unix.Lchown(t.at(name), o[0], o[1]))
				same(t, "owner of "+name, t.owner(name), fmt.Sprintf("%d:%d", o[0], o[1]))
			}
		})
	}
	a.root("owner/one of both", "f", func(t *T) {
		t.must(unix.Chown(t.at("f"), 5, 6))
		t.must(unix.Chown(t.at("f"), 7, -1))
		same(t, "owner", t.owner("f"), "7:6")
		t.must(unix.Chown(t.at("f"), -1, 8))
		same(t, "owner", t.owner("f"), "7:8")
		t.must(unix.Chown(t.at("f"), -1, -1))
		same(t, "owner", t.owner("f"), "7:8")
	})
	a.root("owner/chown follows a link, lchown does not", "f l->f", func(t *T) {
		t.must(unix.Chown(t.at("l"), 5, 5))
		same(t, "owner of the file", t.owner("f"), "5:5")
		t.must(unix.Lchown(t.at("l"), 6, 6))
		same(t, "owner of the file", t.owner("f"), "5:5")
		same(t, "owner of the link", t.owner("l"), "6:6")
	})
	a.root("owner/fchown", "f", func(t *T) {
		t.must(unix.Fchown(t.open("f", unix.O_RDONLY, 0), 5, 6))
		same(t, "owner", t.owner("f"), "5:6")
	})
	a.root("owner/a change takes set-user-ID away", "f", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0o6755))
		t.must(unix.Chown(t.at("f"), 5, 5))
		same(t, "mode", t.mode("f"), 0o755)
	})
	a.root("owner/a change leaves a directory's bits", "d/", func(t *T) {
		t.must(unix.Chmod(t.at("d"), 0o3755))
		t.must(unix.Chown(t.at("d"), 5, 5))
		same(t, "mode", t.mode("d"), 0o3755)
	})
	a.root("owner/a change is in ctime", "f", func(t *T) {
		before := t.stat("f")
		tick()
		t.must(unix.Chown(t.at("f"), 5, 5))
		if t.stat("f").Ctim == before.Ctim {
			t.errorf("ctime has not changed")
		}
		same(t, "mtime", t.stat("f").Mtim, before.Mtim)
	})
	a.root("owner/moves with the file", "f d/", func(t *T) {
		t.must(unix.Chown(t.at("f"), 5, 6))
		t.must(os.Rename(t.at("f"), t.at("d/g")))
		same(t, "owner", t.owner("d/g"), "5:6")
		t.must(os.Link(t.at("d/g"), t.at("h")))
		same(t, "owner", t.owner("h"), "5:6")
	})
	a.root("owner/of what nobody may write", "f d/", func(t *T) {
		for _, mode := range []uint32{0o444, 0} {
			for _, name := range []string{"f", "d"} {
				t.must(unix.Chmod(t.at(name), mode))
				t.must(unix.Chown(t.at(name), 5, 6))
				same(t, "owner of "+name, t.owner(name), "5:6")
				same(t, "mode of "+name, t.mode(name), mode)
				t.must(unix.Chown(t.at(name), 1000, 1000))
				same(t, "owner of "+name, t.owner(name), "1000:1000")
				same(t, "mode of "+name, t.mode(name), mode)
			}
		}
	})
	a.root("owner/survives writes", "f=text", func(t *T) {
		t.must(unix.Chown(t.at("f"), 5, 6))
		t.write("f", "other")
		t.must(unix.Truncate(t.at("f"), 2))
		same(t, "owner", t.owner("f"), "5:6")
	})
	a.root("owner/of what has no name", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(unix.Unlink(t.at("f")))
		t.must(unix.Fchown(fd, 5, 6))
		same(t, "owner", t.fstat(fd).Uid, 5)
	})
	a.root("owner/files of whom they are made by", "", func(t *T) {
		t.must(unix.Chmod(t.dir, 0o777))
		t.as(1234, 4321, func() {
			t.write("f", "text")
			t.must(unix.Mkdir(t.at("d"), 0o755))
			t.must(os.Symlink("x", t.at("l")))
		})
		for _, name := range []string{"f", "d", "l"} {
			same(t, "owner of "+name, t.owner(name), "1234:4321")
		}
	})
	a.user("owner/nobody gives files away", "f", func(t *T) {
		before := t.owner("f")
		t.fails(unix.Chown(t.at("f"), 0, -1), unix.EPERM)
		t.fails(unix.Chown(t.at("f"), -1, 0), unix.EPERM)
		same(t, "owner", t.owner("f"), before)
	})
	a.user("owner/to oneself", "f", func(t *T) { t.must(unix.Chown(t.at("f"), os.Getuid(), os.Getgid())) })
	a.root("owner/who does not own may not chown", "f", func(t *T) {
		t.must(unix.Chown(t.at("f"), 5, 5))
		t.as(1000, 1000, func() { t.fails(unix.Chown(t.at("f"), 1000, 1000), unix.EPERM) })
	})
}

// accessCases are about who may do what.
func accessCases(a *area) {
	type who struct{ uid, gid int }
	for _, c := range []struct {
		name string
		mode uint32
		as   who
		want [3]bool // read, write, execute
	}{
		{"the owner's bits", 0o700, who{1000, 1000}, [3]bool{true, true, true}},
		{"the owner's lack of them", 0o077, who{1000, 1000}, [3]bool{}},
		{"the group's bits", 0o070, who{1001, 1000}, [3]bool{true, true, true}},
		{"the group's lack of them", 0o707, who{1001, 1000}, [3]bool{}},
		{"the bits of others", 0o007, who{1001, 1001}, [3]bool{true, true, true}},
		{"the lack of others'", 0o770, who{1001, 1001}, [3]bool{}},
		{"read only", 0o444, who{1001, 1001}, [3]bool{true, false, false}},
		{"write only", 0o222, who{1000, 1000}, [3]bool{false, true, false}},
		{"execute only", 0o111, who{1001, 1000}, [3]bool{false, false, true}},
		{"root without x", 0o000, who{0, 0}, [3]bool{true, true, false}},
		{"root with some x", 0o001, who{0, 0}, [3]bool{true, true, true}},
	} {
		a.root("access/"+c.name, "f", func(t *T) {
			t.must(unix.Chown(t.at("f"), 1000, 1000))
			t.must(unix.Chmod(t.at("f"), c.mode))
			t.must(unix.Chmod(t.dir, 0o755))
			t.as(c.as.uid, c.as.gid, func() {
				for i, bit := range []uint32{unix.R_OK, unix.W_OK, unix.X_OK} {
					err := unix.Faccessat(unix.AT_FDCWD, t.at("f"), bit, unix.AT_EACCESS)
					same(t, fmt.Sprintf("access %d", bit), err == nil, c.want[i])
				}
				same(t, "open for reading", t.opening("f", unix.O_RDONLY) == nil, c.want[0])
				same(t, "open for writing", t.opening("f", unix.O_WRONLY) == nil, c.want[1])
			})
		})
	}
	a.root("access/root reads and writes whatever the mode", "f=text", func(t *T) {
		t.must(unix.Chown(t.at("f"), 1000, 1000))
		for _, mode := range []uint32{0, 0o444, 0o111, 0o200} {
			t.must(unix.Chmod(t.at("f"), mode))
			t.reads("f", "text")
			t.put(t.open("f", unix.O_WRONLY, 0), "text")
			t.must(unix.Truncate(t.at("f"), 4))
			t.must(unix.Setxattr(t.at("f"), "user.x", []byte("y"), 0))
			same(t, "attribute", t.attr("f", "user.x"), "y")
			same(t, "mode", t.mode("f"), mode)
		}
	})
	a.root("access/root works in any directory", "d/f=1 d/g=2 d/e/h=3", func(t *T) {
		for _, name := range []string{"d", "d/e"} {
			t.must(unix.Chown(t.at(name), 1000, 1000))
		}
		for i, mode := range []uint32{0, 0o555, 0o111} {
			t.must(unix.Chmod(t.at("d/e"), mode))
			t.must(unix.Chmod(t.at("d"), mode))
			t.reads("d/f", "1")
			t.reads("d/e/h", "3")
			t.write("d/new", itoa(i))
			t.must(os.Rename(t.at("d/new"), t.at("d/e/new")))
			t.reads("d/e/new", itoa(i))
			same(t, "what is there", t.names("d"), "e f g")
			t.must(os.Remove(t.at("d/e/new")))
			same(t, "mode", [2]uint32{t.mode("d"), t.mode("d/e")}, [2]uint32{mode, mode})
		}
	})
	a.test("access/F_OK", "f", func(t *T) {
		t.must(unix.Access(t.at("f"), unix.F_OK))
		t.fails(unix.Access(t.at("g"), unix.F_OK), unix.ENOENT)
	})
	a.test("access/an unknown mode", "f", func(t *T) { t.fails(unix.Access(t.at("f"), 0o77), unix.EINVAL) })
	a.user("access/of what one owns", "f", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0o400))
		t.must(unix.Access(t.at("f"), unix.R_OK))
		t.fails(unix.Access(t.at("f"), unix.W_OK), unix.EACCES)
		t.fails(unix.Access(t.at("f"), unix.X_OK), unix.EACCES)
	})
	a.user("access/one's own file without bits", "f=text", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0))
		t.fails(t.opening("f", unix.O_RDONLY), unix.EACCES)
		t.fails(t.opening("f", unix.O_WRONLY), unix.EACCES)
		t.must(unix.Chmod(t.at("f"), 0o600))
		t.reads("f", "text")
	})
	a.root("access/another's private directory", "d/f", func(t *T) {
		t.must(unix.Chown(t.at("d"), 0, 0))
		t.must(unix.Chmod(t.at("d"), 0o700))
		t.as(1000, 1000, func() {
			t.fails(t.opening("d/f", unix.O_RDONLY), unix.EACCES)
			t.fails(unix.Lstat(t.at("d/f"), &unix.Stat_t{}), unix.EACCES)
			t.fails(t.opening("d/new", unix.O_CREAT|unix.O_WRONLY), unix.EACCES)
		})
	})
	a.root("access/what is open stays open", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(unix.Chown(t.at("f"), 5, 5))
		t.must(unix.Chmod(t.at("f"), 0))
		t.as(1000, 1000, func() {
			t.holds(fd, 0, []byte("text"))
			t.put(fd, "TEXT")
		})
		t.reads("f", "TEXT")
	})
	a.root("access/times of another's file", "f", func(t *T) {
		t.must(unix.Chown(t.at("f"), 5, 5))
		t.must(unix.Chmod(t.at("f"), 0o666))
		t.as(1000, 1000, func() {
			now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
			t.must(unix.UtimesNanoAt(unix.AT_FDCWD, t.at("f"), now, 0))
			t.fails(unix.UtimesNanoAt(unix.AT_FDCWD, t.at("f"), []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0), unix.EPERM)
		})
	})
}
