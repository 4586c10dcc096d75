//go:build linux

package posix

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// dirCases are about directories.
func dirCases(a *area) {
	a.test("dir/a new one is empty", "", func(t *T) {
		t.must(unix.Mkdir(t.at("d"), 0o750))
		st := t.stat("d")
		same(t, "mode", st.Mode, unix.S_IFDIR|0o750)
		same(t, "links", st.Nlink, 2)
		same(t, "what is there", t.names("d"), "")
	})
	// Programs take 1 for "not counted", and two more than there are directories for a count.
	links := func(t *T, dirs uint64) {
		if n := t.nlink("d"); n != 1 && n != dirs+2 {
			t.errorf("%d links for %d directories in it", n, dirs)
		}
	}
	a.test("dir/links count directories in it", "d/", func(t *T) {
		for i := range 5 {
			t.must(unix.Mkdir(t.at("d/"+itoa(i)), 0o755))
		}
		t.write("d/file", "")
		links(t, 5)
		t.must(unix.Rmdir(t.at("d/0")))
		links(t, 4)
	})
	a.test("dir/links count directories that were there", "d/a/ d/b/ d/f", func(t *T) {
		links(t, 2)
		t.must(unix.Mkdir(t.at("d/c"), 0o755))
		links(t, 3)
		t.must(unix.Rmdir(t.at("d/a")))
		links(t, 2)
	})
	a.test("dir/100 levels", "", func(t *T) {
		path := strings.TrimSuffix(strings.Repeat("d/", 100), "/")
		t.must(os.MkdirAll(t.at(path), 0o755))
		t.write(path+"/f", "deep")
		t.reads(path+"/f", "deep")
		t.must(os.RemoveAll(t.at("d")))
		t.gone("d")
	})
	a.test("dir/is removed and made again", "d/f=1", func(t *T) {
		t.must(os.RemoveAll(t.at("d")))
		t.must(unix.Mkdir(t.at("d"), 0o755))
		same(t, "what is there", t.names("d"), "")
		t.gone("d/f")
		t.write("d/f", "2")
		t.reads("d/f", "2")
	})
	a.test("dir/a file takes its place", "d/f=1", func(t *T) {
		t.must(os.RemoveAll(t.at("d")))
		t.write("d", "file")
		t.reads("d", "file")
		t.must(os.Remove(t.at("d")))
		t.must(os.Mkdir(t.at("d"), 0o755))
		same(t, "what is there", t.names("d"), "")
	})
	for _, c := range []struct {
		name, tree, dir string
		want            []unix.Errno
	}{
		{"that is full", "d/f", "d", []unix.Errno{unix.ENOTEMPTY, unix.EEXIST}},
		{"with a directory in it", "d/e/", "d", []unix.Errno{unix.ENOTEMPTY, unix.EEXIST}},
		{"with a dangling link in it", "d/ d/l->none", "d", []unix.Errno{unix.ENOTEMPTY, unix.EEXIST}},
		{"that is a file", "f", "f", []unix.Errno{unix.ENOTDIR}},
		{"that is missing", "", "d", []unix.Errno{unix.ENOENT}},
		{"by its dot", "d/", "d/.", []unix.Errno{unix.EINVAL}},
		{"by dot dot", "d/e/", "d/e/..", []unix.Errno{unix.ENOTEMPTY, unix.EEXIST, unix.EINVAL}},
	} {
		a.test("dir/rmdir of one "+c.name, c.tree, func(t *T) {
			before := t.names(".")
			t.fails(unix.Rmdir(t.dir+"/"+c.dir), c.want...)
			same(t, "what is there", t.names("."), before)
		})
	}
	a.user("dir/mkdir where nothing may be written", "d/", func(t *T) {
		t.must(unix.Chmod(t.at("d"), 0o555))
		t.cleanup(func() { t.must(unix.Chmod(t.at("d"), 0o755)) })
		t.fails(unix.Mkdir(t.at("d/e"), 0o755), unix.EACCES)
	})
	a.user("dir/one that may not be read is removed", "d/", func(t *T) {
		t.must(unix.Mkdir(t.at("new"), 0o755))
		for _, name := range []string{"d", "new"} {
			t.must(unix.Chmod(t.at(name), 0))
			t.must(unix.Rmdir(t.at(name)))
			t.gone(name)
		}
	})
	a.test("dir/mkdir updates times", "d/", func(t *T) {
		t.must(unix.UtimesNanoAt(unix.AT_FDCWD, t.at("d"), []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0))
		t.must(unix.Mkdir(t.at("d/e"), 0o755))
		if t.stat("d").Mtim.Sec == 1 {
			t.errorf("mtime is old")
		}
	})
	a.test("dir/a trailing slash makes one", "", func(t *T) {
		t.must(unix.Mkdir(t.dir+"/d/", 0o755))
		same(t, "kind", t.stat("d").Mode&unix.S_IFMT, unix.S_IFDIR)
	})
	a.test("dir/its inode in the listing above is its own", "d/e/", func(t *T) {
		for _, e := range t.entries("d") {
			switch e.name {
			case "e", ".":
				same(t, "inode of "+e.name, e.ino, t.stat("d/"+e.name).Ino)
			}
		}
	})
}

// entry is one of a directory's, as getdents64(2) has it.
type entry struct {
	name string
	ino  uint64
	next int64
	kind byte
}

func (t *T) entries(name string) []entry {
	return t.rest(t.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0), 0)
}

// rest reads what is left of an open directory, through a buffer of so many bytes.
func (t *T) rest(fd, room int) []entry {
	var all []entry
	for {
		some := t.some(fd, room)
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
	}
}

// some reads one buffer.
func (t *T) some(fd, room int) []entry {
	buf := make([]byte, max(room, 512))
	n, err := unix.Getdents(fd, buf)
	t.must(err)
	var all []entry
	for buf = buf[:n]; len(buf) > 0; {
		size := binary.NativeEndian.Uint16(buf[16:])
		name, _, _ := strings.Cut(string(buf[19:size]), "\x00")
		all = append(all, entry{name, binary.NativeEndian.Uint64(buf), int64(binary.NativeEndian.Uint64(buf[8:])), buf[18]})
		buf = buf[size:]
	}
	return all
}

func namesOf(all []entry) []string {
	var names []string
	for _, e := range all {
		if e.name != "." && e.name != ".." {
			names = append(names, e.name)
		}
	}
	slices.Sort(names)
	return names
}

// fill makes n names, of one file since that is quicker.
func (t *T) fill(dir string, n int) {
	first := t.at(dir + "/f00000")
	t.must(os.WriteFile(first, nil, 0o644))
	for i := range n - 1 {
		t.must(unix.Link(first, t.at(fmt.Sprintf("%s/f%05d", dir, i+1))))
	}
}

// listCases are about reading directories.
func listCases(a *area) {
	a.test("list/dot and dot dot", "d/e/", func(t *T) {
		var dots int
		for _, e := range t.entries("d") {
			if e.name == "." || e.name == ".." {
				dots++
				same(t, "kind", e.kind, unix.DT_DIR)
			}
		}
		same(t, "dots", dots, 2)
	})
	a.test("list/what was there and what is new", "d/a d/b d/c", func(t *T) {
		t.write("d/d", "")
		t.must(os.Remove(t.at("d/b")))
		t.must(os.Rename(t.at("d/c"), t.at("d/e")))
		same(t, "names", t.names("d"), "a d e")
	})
	a.test("list/inodes and kinds are those of stat", "f d/ l->none", func(t *T) {
		t.must(unix.Mkfifo(t.at("p"), 0o644))
		for _, e := range t.entries(".") {
			if e.name == ".." {
				continue
			}
			st := t.stat(e.name)
			same(t, "inode of "+e.name, e.ino, st.Ino)
			same(t, "kind of "+e.name, uint32(e.kind)<<12, st.Mode&unix.S_IFMT)
		}
	})
	a.test("list/kinds far behind", "d/f d/e/ d/l->f", func(t *T) {
		t.fill("d", 1500)
		t.must(unix.Mkfifo(t.at("d/p"), 0o644))
		t.must(unix.Mkdir(t.at("d/new"), 0o755))
		t.must(unix.Chmod(t.at("d/f"), 0o600))
		fd := t.open("d", unix.O_RDONLY, 0)
		for range 2 { // what is known by then
			for _, e := range t.rest(fd, 4096) {
				if len(e.name) > 3 || e.name == ".." {
					continue
				}
				st := t.stat("d/" + e.name)
				same(t, "inode of "+e.name, e.ino, st.Ino)
				same(t, "kind of "+e.name, uint32(e.kind)<<12, st.Mode&unix.S_IFMT)
			}
			_, err := unix.Seek(fd, 0, unix.SEEK_SET)
			t.must(err)
		}
	})
	a.user("list/each of 10,000 once", "d/", func(t *T) {
		const n = 10_000
		t.fill("d", n)
		names := namesOf(t.entries("d"))
		same(t, "names", len(names), n)
		same(t, "different names", len(slices.Compact(names)), n)
	})
	a.test("list/with little room", "d/", func(t *T) {
		t.fill("d", 300)
		names := namesOf(t.rest(t.open("d", unix.O_RDONLY, 0), 512))
		same(t, "names", len(slices.Compact(names)), 300)
	})
	a.test("list/no room at all", "d/", func(t *T) {
		_, err := unix.Getdents(t.open("d", unix.O_RDONLY, 0), make([]byte, 8))
		t.fails(err, unix.EINVAL)
	})
	a.test("list/again from the start", "d/a", func(t *T) {
		fd := t.open("d", unix.O_RDONLY, 0)
		same(t, "names", len(namesOf(t.rest(fd, 0))), 1)
		t.write("d/b", "")
		_, err := unix.Seek(fd, 0, unix.SEEK_SET)
		t.must(err)
		same(t, "names", len(namesOf(t.rest(fd, 0))), 2)
	})
	a.test("list/from where one was", "d/", func(t *T) {
		t.fill("d", 500)
		fd := t.open("d", unix.O_RDONLY, 0)
		var before []entry
		for len(before) < 100 {
			before = append(before, t.some(fd, 512)...)
		}
		after := namesOf(t.rest(fd, 0))
		for range 2 {
			_, err := unix.Seek(fd, before[len(before)-1].next, unix.SEEK_SET)
			t.must(err)
			same(t, "names", strings.Join(namesOf(t.rest(fd, 0)), " "), strings.Join(after, " "))
		}
		all := slices.Concat(namesOf(before), after)
		slices.Sort(all)
		same(t, "names", len(slices.Compact(all)), 500)
	})
	a.test("list/from every place", "d/a d/b d/c d/d d/e", func(t *T) {
		fd := t.open("d", unix.O_RDONLY, 0)
		all := t.rest(fd, 0)
		for i, e := range all {
			_, err := unix.Seek(fd, e.next, unix.SEEK_SET)
			t.must(err)
			same(t, "entries behind "+e.name, len(t.rest(fd, 0)), len(all)-i-1)
		}
	})
	a.test("list/by two at once", "d/", func(t *T) {
		t.fill("d", 300)
		x, y := t.open("d", unix.O_RDONLY, 0), t.open("d", unix.O_RDONLY, 0)
		var one, two []entry
		for {
			a, b := t.some(x, 512), t.some(y, 1024)
			if len(a)+len(b) == 0 {
				break
			}
			one, two = append(one, a...), append(two, b...)
		}
		same(t, "names", [2]int{len(namesOf(one)), len(namesOf(two))}, [2]int{300, 300})
	})
	a.test("list/what stays is seen while others go", "d/", func(t *T) {
		t.fill("d", 400)
		fd := t.open("d", unix.O_RDONLY, 0)
		seen := t.some(fd, 512)
		for i := range 400 {
			if i%4 != 0 {
				t.must(unix.Unlink(t.at(fmt.Sprintf("d/f%05d", i))))
			}
		}
		names := slices.Compact(namesOf(append(seen, t.rest(fd, 512)...)))
		for i := 0; i < 400; i += 4 {
			if _, ok := slices.BinarySearch(names, fmt.Sprintf("f%05d", i)); !ok {
				t.errorf("f%05d was not listed", i)
			}
		}
	})
	a.test("list/nothing comes twice while others come", "d/", func(t *T) {
		t.fill("d", 200)
		fd := t.open("d", unix.O_RDONLY, 0)
		var all []entry
		for i := 0; ; i++ {
			some := t.some(fd, 512)
			if len(some) == 0 {
				break
			}
			all = append(all, some...)
			if i < 100 {
				t.write(fmt.Sprintf("d/new%d", i), "")
			}
		}
		names := namesOf(all)
		same(t, "different names", len(slices.Compact(slices.Clone(names))), len(names))
	})
	a.test("list/remove as one reads", "d/", func(t *T) {
		t.fill("d", 1000)
		t.must(os.RemoveAll(t.at("d")))
		t.gone("d")
	})
	a.test("list/a directory that is gone", "d/", func(t *T) {
		fd := t.open("d", unix.O_RDONLY, 0)
		t.must(unix.Rmdir(t.at("d")))
		n, err := unix.Getdents(fd, make([]byte, 4096))
		if err == nil && len(namesOf(nil)) == n {
			return
		}
		if err == nil && n > 0 { // the dots are no lie
			return
		}
		t.fails(err, unix.ENOENT)
	})
	a.test("list/long names", "d/", func(t *T) {
		for i := range 40 {
			t.write(fmt.Sprintf("d/%02d%s", i, strings.Repeat("x", nameMax-2)), "")
		}
		same(t, "names", len(namesOf(t.rest(t.open("d", unix.O_RDONLY, 0), 1024))), 40)
	})
	a.user("list/what may not be read", "d/f=1", func(t *T) {
		t.must(unix.Chmod(t.at("d"), 0o311))
		t.cleanup(func() { t.must(unix.Chmod(t.at("d"), 0o755)) })
		t.fails(t.opening("d", unix.O_RDONLY), unix.EACCES)
		t.reads("d/f", "1")
	})
	a.test("list/a file", "f", func(t *T) {
		_, err := unix.Getdents(t.open("f", unix.O_RDONLY, 0), make([]byte, 4096))
		t.fails(err, unix.ENOTDIR)
	})
	a.test("list/what another has just made", "d/a", func(t *T) {
		same(t, "names", t.names("d"), "a")
		same(t, "the child", t.child("make", t.at("d/b")), "ok")
		same(t, "names", t.names("d"), "a b")
	})
}

func init() {
	children["make"] = func(args []string) string { return said(os.WriteFile(args[0], nil, 0o644)) }
}
