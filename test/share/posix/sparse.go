//go:build linux

package posix

import (
	"bytes"

	"golang.org/x/sys/unix"
)

const (
	mib       = 1 << 20
	keepSize  = unix.FALLOC_FL_KEEP_SIZE
	punchHole = unix.FALLOC_FL_PUNCH_HOLE | keepSize
)

// islands is a file of 4 MiB with a MiB of data at 1 MiB, made through fd.
func (t *T) islands(name string) int {
	fd := t.file(name)
	t.must(unix.Ftruncate(fd, 4*mib))
	_, err := unix.Pwrite(fd, pattern(mib, mib), mib)
	t.must(err)
	return fd
}

// sparseCases are about holes, and fallocate(2).
func sparseCases(a *area) {
	a.test("sparse/a hole reads as zeroes", "", func(t *T) {
		fd := t.islands("f")
		t.holds(fd, 0, make([]byte, 4096))
		t.holds(fd, mib-3, append(make([]byte, 3), pattern(mib, 100)...))
		t.holds(fd, 2*mib-2, append(pattern(2*mib-2, 2), make([]byte, 100)...))
		t.holds(fd, 4*mib-10, make([]byte, 10))
	})
	a.test("sparse/a hole takes no room", "", func(t *T) {
		fd := t.islands("f")
		t.must(unix.Fsync(fd))
		if st := t.fstat(fd); st.Blocks*512 >= 3*mib {
			t.errorf("%d blocks for a MiB", st.Blocks)
		}
	})
	a.test("sparse/a TiB", "f", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		_, err := unix.Pwrite(fd, []byte("end"), 1<<40)
		t.must(err)
		same(t, "size", t.size("f"), 1<<40+3)
		t.holds(fd, 1<<40-2, []byte("\x00\x00end"))
	})
	for _, s := range []struct {
		name       string
		from       int64
		whence     int
		want       int64
		wrong      unix.Errno
		everywhere bool
	}{
		{"data from the start", 0, unix.SEEK_DATA, mib, 0, false},
		{"data from within", mib + 5, unix.SEEK_DATA, mib + 5, 0, true},
		{"data from the last hole", 3 * mib, unix.SEEK_DATA, 0, unix.ENXIO, false},
		{"a hole from the start", 0, unix.SEEK_HOLE, 0, 0, false},
		{"a hole from within", mib + 5, unix.SEEK_HOLE, 2 * mib, 0, false},
		{"data from the end", 4 * mib, unix.SEEK_DATA, 0, unix.ENXIO, true},
		{"a hole from the end", 4 * mib, unix.SEEK_HOLE, 0, unix.ENXIO, true},
	} {
		a.test("sparse/seek "+s.name, "", func(t *T) {
			at, err := unix.Seek(t.islands("f"), s.from, s.whence)
			if s.wrong != 0 {
				t.fails(err, s.wrong)
				return
			}
			t.must(err)
			same(t, "offset", at, s.want)
		})
	}
	a.test("sparse/the end of a file is a hole", "f=text", func(t *T) {
		at, err := unix.Seek(t.open("f", unix.O_RDONLY, 0), 0, unix.SEEK_HOLE)
		t.must(err)
		same(t, "offset", at, 4)
	})
	a.test("sparse/fallocate grows", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(unix.Fallocate(fd, 0, 0, mib))
		same(t, "size", t.size("f"), mib)
		t.holds(fd, 0, append([]byte("text"), make([]byte, 100)...))
		if st := t.fstat(fd); st.Blocks*512 < mib {
			t.errorf("%d blocks for a MiB", st.Blocks)
		}
	})
	a.test("sparse/fallocate from an offset", "f=text", func(t *T) {
		t.must(unix.Fallocate(t.open("f", unix.O_RDWR, 0), 0, 5000, 100))
		same(t, "size", t.size("f"), 5100)
	})
	a.test("sparse/fallocate within", "", func(t *T) {
		t.must(unix.Fallocate(t.islands("f"), 0, 0, 100))
		same(t, "size", t.size("f"), 4*mib)
	})
	a.test("sparse/fallocate keeps the size", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(unix.Fallocate(fd, keepSize, 0, mib))
		same(t, "size", t.size("f"), 4)
		if st := t.fstat(fd); st.Blocks*512 < mib {
			t.errorf("%d blocks for a MiB", st.Blocks)
		}
	})
	a.test("sparse/a hole is punched", "", func(t *T) {
		fd := t.file("f")
		t.put(fd, string(pattern(0, mib)))
		t.must(unix.Fsync(fd))
		before := t.fstat(fd).Blocks
		t.must(unix.Fallocate(fd, punchHole, 4096, 8192))
		want := pattern(0, mib)
		clear(want[4096 : 4096+8192])
		t.holds(fd, 0, want)
		same(t, "size", t.size("f"), mib)
		same(t, "blocks less", before-t.fstat(fd).Blocks, 16)
	})
	a.test("sparse/a hole at odd places", "", func(t *T) {
		fd := t.file("f")
		t.put(fd, string(pattern(0, 20_000)))
		t.must(unix.Fallocate(fd, punchHole, 1234, 9999))
		want := pattern(0, 20_000)
		clear(want[1234 : 1234+9999])
		t.holds(fd, 0, want)
	})
	a.test("sparse/a hole behind the end", "f=text", func(t *T) {
		t.must(unix.Fallocate(t.open("f", unix.O_RDWR, 0), punchHole, mib, mib))
		same(t, "size", t.size("f"), 4)
	})
	a.test("sparse/a hole needs keep size", "f=text", func(t *T) {
		t.fails(unix.Fallocate(t.open("f", unix.O_RDWR, 0), unix.FALLOC_FL_PUNCH_HOLE, 0, 4), unix.EOPNOTSUPP)
		t.reads("f", "text")
	})
	a.test("sparse/a range is zeroed", "", func(t *T) {
		fd := t.file("f")
		t.put(fd, string(pattern(0, 20_000)))
		t.must(unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, 100, 10_000))
		want := pattern(0, 20_000)
		clear(want[100:10_100])
		t.holds(fd, 0, want)
	})
	a.test("sparse/a range is zeroed behind the end", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, 2, 5000))
		same(t, "size", t.size("f"), 5002)
		t.holds(fd, 0, append([]byte("te"), make([]byte, 100)...))
		t.must(unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE|keepSize, 2, 9000))
		same(t, "size", t.size("f"), 5002)
	})
	a.test("sparse/a range is collapsed", "", func(t *T) {
		fd := t.file("f")
		t.put(fd, string(pattern(0, 16<<10)))
		t.must(unix.Fallocate(fd, unix.FALLOC_FL_COLLAPSE_RANGE, 4096, 4096))
		t.holds(fd, 0, append(pattern(0, 4096), pattern(8192, 8192)...))
		same(t, "size", t.size("f"), 12<<10)
	})
	a.test("sparse/a range is inserted", "", func(t *T) {
		fd := t.file("f")
		t.put(fd, string(pattern(0, 8192)))
		t.must(unix.Fallocate(fd, unix.FALLOC_FL_INSERT_RANGE, 4096, 4096))
		t.holds(fd, 0, bytes.Join([][]byte{pattern(0, 4096), make([]byte, 4096), pattern(4096, 4096)}, nil))
	})
	for _, f := range []struct {
		name      string
		flags     int
		mode      uint32
		from, len int64
		want      unix.Errno
	}{
		{"of nothing", unix.O_RDWR, 0, 0, 0, unix.EINVAL},
		{"at a negative offset", unix.O_RDWR, 0, -1, 4, unix.EINVAL},
		{"of a negative length", unix.O_RDWR, 0, 0, -4, unix.EINVAL},
		{"beyond what a file can be", unix.O_RDWR, 0, 1<<63 - 2, 100, unix.EFBIG},
		{"of what is read-only", unix.O_RDONLY, 0, 0, 4, unix.EBADF},
		{"with an unknown mode", unix.O_RDWR, 1 << 30, 0, 4, unix.EOPNOTSUPP},
	} {
		a.test("sparse/fallocate "+f.name, "f=text", func(t *T) {
			t.fails(unix.Fallocate(t.open("f", f.flags, 0), f.mode, f.from, f.len), f.want)
			t.reads("f", "text")
		})
	}
	a.test("sparse/fallocate of a directory", "d/", func(t *T) {
		t.fails(unix.Fallocate(t.open("d", unix.O_RDONLY, 0), 0, 0, 4), unix.EBADF, unix.EISDIR)
	})
	a.test("sparse/writing into a hole", "", func(t *T) {
		fd := t.islands("f")
		_, err := unix.Pwrite(fd, []byte("x"), 3*mib)
		t.must(err)
		t.holds(fd, 3*mib-1, []byte("\x00x\x00"))
	})
}

// truncateCases are about sizes.
func truncateCases(a *area) {
	for _, way := range []struct {
		name string
		cut  func(t *T, size int64) error
	}{
		{"truncate", func(t *T, size int64) error { return unix.Truncate(t.at("f"), size) }},
		{"ftruncate", func(t *T, size int64) error { return unix.Ftruncate(t.open("f", unix.O_RDWR, 0), size) }},
	} {
		for _, size := range []int64{0, 1, 9, 10, 11, 4095, 4096, 4097, mib + 1} {
			a.test("truncate/"+way.name+" to "+itoa(int(size)), "f=0123456789", func(t *T) {
				fd := t.open("f", unix.O_RDONLY, 0)
				t.must(way.cut(t, size))
				same(t, "size", t.size("f"), size)
				want := append([]byte("0123456789"), make([]byte, max(size-10, 0))...)[:size]
				t.holds(fd, 0, want)
				n, err := pread(fd, make([]byte, size+10), 0)
				t.must(err)
				same(t, "bytes in it", int64(n), size)
			})
		}
		a.test("truncate/"+way.name+" to less than nothing", "f=text", func(t *T) {
			t.fails(way.cut(t, -1), unix.EINVAL)
			t.reads("f", "text")
		})
		a.test("truncate/"+way.name+" to too much", "f=text", func(t *T) {
			t.fails(way.cut(t, 1<<62), unix.EFBIG)
			t.reads("f", "text")
		})
	}
	a.test("truncate/what was cut does not come back", "f", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.put(fd, string(pattern(0, 10_000)))
		t.must(unix.Ftruncate(fd, 5000))
		t.must(unix.Ftruncate(fd, 10_000))
		t.holds(fd, 4990, append(pattern(4990, 10), make([]byte, 5000)...))
	})
	a.test("truncate/truncate of a directory", "d/", func(t *T) { t.fails(unix.Truncate(t.at("d"), 0), unix.EISDIR) })
	a.test("truncate/ftruncate of what is read-only", "f=text", func(t *T) {
		t.fails(unix.Ftruncate(t.open("f", unix.O_RDONLY, 0), 0), unix.EINVAL, unix.EBADF)
		t.reads("f", "text")
	})
	a.user("truncate/truncate of what may not be written", "f=text", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0o444))
		t.fails(unix.Truncate(t.at("f"), 0), unix.EACCES)
		t.reads("f", "text")
	})
	a.user("truncate/ftruncate after the permission is gone", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(unix.Chmod(t.at("f"), 0o444))
		t.must(unix.Ftruncate(fd, 2))
		t.reads("f", "te")
	})
	a.test("truncate/of what has no name", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(unix.Unlink(t.at("f")))
		t.must(unix.Ftruncate(fd, 2))
		same(t, "size", t.fstat(fd).Size, 2)
		t.holds(fd, 0, []byte("te"))
	})
	a.test("truncate/the offset stays", "f=0123456789", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		_, err := unix.Seek(fd, 8, unix.SEEK_SET)
		t.must(err)
		t.must(unix.Ftruncate(fd, 2))
		t.put(fd, "x")
		t.reads("f", "01\x00\x00\x00\x00\x00\x00x")
	})
	a.test("truncate/through a link", "f=text l->f", func(t *T) {
		t.must(unix.Truncate(t.at("l"), 1))
		t.reads("f", "t")
	})
}
