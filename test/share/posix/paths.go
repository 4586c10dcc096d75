//go:build linux

package posix

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	nameMax = 255
	pathMax = 4096 // with the zero byte
)

// ops are calls that resolve a path, with arguments that are right otherwise.
var ops = []struct {
	name string
	call func(path string) error
	// last tells that the last component is followed if it is a symbolic link.
	last bool
}{
	{"open", func(p string) error { return closing(unix.Open(p, unix.O_RDONLY|unix.O_CLOEXEC, 0)) }, true},
	{"open for writing", func(p string) error { return closing(unix.Open(p, unix.O_WRONLY|unix.O_CLOEXEC, 0)) }, true},
	{"O_CREAT", func(p string) error { return closing(unix.Open(p, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)) }, true},
	{"opendir", func(p string) error { return closing(unix.Open(p, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)) }, true},
	{"stat", func(p string) error { return unix.Stat(p, &unix.Stat_t{}) }, true},
	{"lstat", func(p string) error { return unix.Lstat(p, &unix.Stat_t{}) }, false},
	{"statx", func(p string) error { return unix.Statx(unix.AT_FDCWD, p, 0, unix.STATX_ALL, &unix.Statx_t{}) }, true},
	{"statfs", func(p string) error { return unix.Statfs(p, &unix.Statfs_t{}) }, true},
	{"access", func(p string) error { return unix.Access(p, unix.F_OK) }, true},
	{"mkdir", func(p string) error { return unix.Mkdir(p, 0o755) }, false},
	{"rmdir", unix.Rmdir, false},
	{"unlink", unix.Unlink, false},
	{"mkfifo", func(p string) error { return unix.Mkfifo(p, 0o644) }, false},
	{"symlink", func(p string) error { return unix.Symlink("target", p) }, false},
	{"readlink", func(p string) error { _, err := unix.Readlink(p, make([]byte, 64)); return err }, false},
	{"rename from", func(p string) error { return unix.Rename(p, p+"x") }, false},
	{"chmod", func(p string) error { return unix.Chmod(p, 0o700) }, true},
	{"chown", func(p string) error { return unix.Chown(p, os.Getuid(), os.Getgid()) }, true},
	{"lchown", func(p string) error { return unix.Lchown(p, os.Getuid(), os.Getgid()) }, false},
	{"utimensat", func(p string) error { return unix.UtimesNanoAt(unix.AT_FDCWD, p, make([]unix.Timespec, 2), 0) }, true},
	{"truncate", func(p string) error { return unix.Truncate(p, 1) }, true},
	{"setxattr", func(p string) error { return unix.Setxattr(p, "user.a", []byte("1"), 0) }, true},
	{"getxattr", func(p string) error { _, err := unix.Getxattr(p, "user.a", nil); return err }, true},
	{"listxattr", func(p string) error { _, err := unix.Listxattr(p, nil); return err }, true},
	{"removexattr", func(p string) error { return unix.Removexattr(p, "user.a") }, true},
}

func closing(fd int, err error) error {
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

// pathCases ask every call for the errors of path_resolution(7).
func pathCases(a *area) {
	for _, op := range ops {
		a.test("path/"+op.name+" below what is missing", "", func(t *T) { t.fails(op.call(t.at("none/x")), unix.ENOENT) })
		a.test("path/"+op.name+" below a file", "f", func(t *T) { t.fails(op.call(t.at("f/x")), unix.ENOTDIR) })
		a.test("path/"+op.name+" with a name of 256 bytes", "", func(t *T) {
			t.fails(op.call(t.at(strings.Repeat("n", nameMax+1))), unix.ENAMETOOLONG)
		})
		a.test("path/"+op.name+" below a circle of links", "a->b b->a", func(t *T) { t.fails(op.call(t.at("a/x")), unix.ELOOP) })
		a.user("path/"+op.name+" below what may not be searched", "d/f", func(t *T) {
			t.must(unix.Chmod(t.at("d"), 0o600))
			t.cleanup(func() { t.must(unix.Chmod(t.at("d"), 0o755)) })
			t.fails(op.call(t.at("d/f")), unix.EACCES)
		})
		if op.last {
			a.test("path/"+op.name+" of a circle of links", "a->b b->a", func(t *T) { t.fails(op.call(t.at("a")), unix.ELOOP) })
		}
	}
	a.test("path/the longest path", "", func(t *T) {
		deep := t.deep(pathMax - 1)
		t.must(unix.Stat(deep, &unix.Stat_t{}))
		t.fails(unix.Stat(deep+"x", &unix.Stat_t{}), unix.ENAMETOOLONG)
	})
	a.test("path/an empty path", "", func(t *T) { t.fails(unix.Stat("", &unix.Stat_t{}), unix.ENOENT) })
	a.test("path/dots and slashes", "d/e/ f=1", func(t *T) {
		t.reads("d/..//./d/e/../../f", "1")
		same(t, "inode of dot", t.stat("d/.").Ino, t.stat("d").Ino)
		same(t, "inode of dot dot", t.stat("d/e/..").Ino, t.stat("d").Ino)
	})
	a.test("path/a slash behind a file", "f", func(t *T) { t.fails(unix.Stat(t.dir+"/f/", &unix.Stat_t{}), unix.ENOTDIR) })
	a.test("path/a slash behind a link to a directory", "d/ l->d", func(t *T) {
		var st unix.Stat_t
		t.must(unix.Lstat(t.dir+"/l/", &st))
		same(t, "kind", st.Mode&unix.S_IFMT, unix.S_IFDIR)
	})
	a.test("path/through links to directories", "d/f=1 l->d m->l", func(t *T) { t.reads("m/f", "1") })
	a.test("path/40 links are followed, 41 are not", "f=1 l0->f", func(t *T) {
		for i := range 41 {
			t.must(os.Symlink(link(i), t.at(link(i+1))))
		}
		t.reads(link(39), "1")
		t.fails(unix.Stat(t.at(link(40)), &unix.Stat_t{}), unix.ELOOP)
	})
}

func link(i int) string { return "l" + itoa(i) }

// deep makes directories and a file whose path has so many bytes, and returns it.
func (t *T) deep(length int) string {
	const step = 200
	path := t.dir
	for length-len(path)-1 > nameMax {
		path += "/" + strings.Repeat("d", step)
		t.must(unix.Mkdir(path, 0o755))
	}
	path += "/" + strings.Repeat("f", length-len(path)-1)
	t.must(os.WriteFile(path, nil, 0o644))
	return path
}
