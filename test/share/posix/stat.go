//go:build linux

package posix

import (
	"os"

	"golang.org/x/sys/unix"
)

// statCases are about what stat(2), statx(2) and statfs(2) say.
func statCases(a *area) {
	a.test("stat/a file", "f=text", func(t *T) {
		st := t.stat("f")
		same(t, "mode", st.Mode, unix.S_IFREG|0o644)
		same(t, "size", st.Size, 4)
		same(t, "links", st.Nlink, 1)
		if st.Blksize < 512 || st.Blksize > 1<<26 {
			t.errorf("block size %d", st.Blksize)
		}
	})
	a.test("stat/inodes differ", "a b c d/", func(t *T) {
		seen := map[uint64]string{}
		for _, name := range []string{"a", "b", "c", "d", "."} {
			ino := t.stat(name).Ino
			if other, twice := seen[ino]; twice || ino == 0 {
				t.errorf("%s and %s have inode %d", name, other, ino)
			}
			seen[ino] = name
		}
	})
	a.test("stat/one device", "a d/b", func(t *T) { same(t, "device", t.stat("d/b").Dev, t.stat("a").Dev) })
	a.test("stat/an inode stays", "f=1", func(t *T) {
		ino := t.stat("f").Ino
		t.write("f", "22")
		same(t, "inode after a write", t.stat("f").Ino, ino)
		t.must(unix.Chmod(t.at("f"), 0o600))
		same(t, "inode after chmod", t.stat("f").Ino, ino)
		same(t, "inode of what is open", t.fstat(t.open("f", unix.O_RDONLY, 0)).Ino, ino)
	})
	a.test("stat/a directory's inode stays", "d/f=1", func(t *T) {
		ino := t.stat("d").Ino
		t.write("d/g", "1")
		t.must(os.Remove(t.at("d/f")))
		same(t, "inode", t.stat("d").Ino, ino)
	})
	a.test("stat/blocks grow with what is written", "", func(t *T) {
		fd := t.file("f")
		t.put(fd, string(pattern(0, mib)))
		t.must(unix.Fsync(fd))
		if st := t.fstat(fd); st.Blocks*512 < mib || st.Blocks*512 > 2*mib {
			t.errorf("%d blocks for a MiB", st.Blocks)
		}
	})
	a.test("stat/size grows with every write", "", func(t *T) {
		fd := t.file("f")
		for i := range 50 {
			t.put(fd, string(pattern(0, 1000)))
			same(t, "size", t.fstat(fd).Size, int64(i+1)*1000)
			same(t, "size by name", t.size("f"), int64(i+1)*1000)
		}
	})
	a.test("stat/statx says the same", "f=text", func(t *T) {
		var x unix.Statx_t
		t.must(unix.Statx(unix.AT_FDCWD, t.at("f"), 0, unix.STATX_BASIC_STATS, &x))
		st := t.stat("f")
		same(t, "mask", x.Mask&unix.STATX_BASIC_STATS, unix.STATX_BASIC_STATS)
		same(t, "mode", uint32(x.Mode), st.Mode)
		same(t, "inode", x.Ino, st.Ino)
		same(t, "size", int64(x.Size), st.Size)
		same(t, "mtime", unix.Timespec{Sec: x.Mtime.Sec, Nsec: int64(x.Mtime.Nsec)}, st.Mtim)
	})
	a.test("stat/statx of what is open", "f=text", func(t *T) {
		var x unix.Statx_t
		t.must(unix.Statx(t.open("f", unix.O_RDONLY, 0), "", unix.AT_EMPTY_PATH, unix.STATX_SIZE, &x))
		same(t, "size", x.Size, 4)
	})
	a.test("stat/statx asks the server on demand", "f=text", func(t *T) {
		t.write("f", "longer text")
		var x unix.Statx_t
		t.must(unix.Statx(unix.AT_FDCWD, t.at("f"), unix.AT_STATX_FORCE_SYNC, unix.STATX_SIZE, &x))
		same(t, "size", x.Size, 11)
		t.must(unix.Statx(unix.AT_FDCWD, t.at("f"), unix.AT_STATX_DONT_SYNC, unix.STATX_SIZE, &x))
		same(t, "size", x.Size, 11)
	})
	a.test("stat/statfs", "", func(t *T) {
		var st unix.Statfs_t
		t.must(unix.Statfs(t.dir, &st))
		same(t, "longest name", st.Namelen, nameMax)
		if st.Bsize <= 0 || st.Blocks == 0 || st.Bfree > st.Blocks || st.Bavail > st.Bfree || st.Ffree > st.Files {
			t.errorf("sizes make no sense: %+v", st)
		}
	})
	a.test("stat/fstatfs says the same", "f", func(t *T) {
		var x, y unix.Statfs_t
		t.must(unix.Statfs(t.dir, &x))
		t.must(unix.Fstatfs(t.open("f", unix.O_RDONLY, 0), &y))
		same(t, "type", y.Type, x.Type)
		same(t, "blocks", y.Blocks, x.Blocks)
	})
	a.test("stat/room goes as files grow", "", func(t *T) {
		var before, after unix.Statfs_t
		t.must(unix.Statfs(t.dir, &before))
		same(t, "a block", before.Bsize%512, 0)
		t.must(unix.Fallocate(t.file("f"), 0, 0, 64*mib))
		t.must(unix.Statfs(t.dir, &after))
		// Others write to the disk, too: it is enough that it is of the right size.
		if used := int64(before.Bfree-after.Bfree) * before.Bsize; used < 8*mib {
			t.errorf("64 MiB took %d bytes", used)
		}
	})
}
