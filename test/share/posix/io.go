//go:build linux

package posix

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ioCases are about reading and writing.
func ioCases(a *area) {
	a.test("io/read at the end", "f=abc", func(t *T) {
		fd := t.open("f", unix.O_RDONLY, 0)
		b := make([]byte, 8)
		for _, want := range []int{3, 0, 0} {
			n, err := unix.Read(fd, b)
			t.must(err)
			same(t, "bytes read", n, want)
		}
	})
	a.test("io/read behind the end", "f=abc", func(t *T) {
		n, err := unix.Pread(t.open("f", unix.O_RDONLY, 0), make([]byte, 8), 1<<40)
		t.must(err)
		same(t, "bytes read", n, 0)
	})
	a.test("io/read of nothing", "f=abc", func(t *T) {
		n, err := unix.Read(t.open("f", unix.O_RDONLY, 0), nil)
		t.must(err)
		same(t, "bytes read", n, 0)
	})
	a.test("io/write of nothing", "f=abc", func(t *T) {
		n, err := unix.Write(t.open("f", unix.O_WRONLY, 0), nil)
		t.must(err)
		same(t, "bytes written", n, 0)
		t.reads("f", "abc")
	})
	a.test("io/negative offsets", "f=abc", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		_, err := unix.Pread(fd, make([]byte, 1), -1)
		t.fails(err, unix.EINVAL)
		_, err = unix.Pwrite(fd, make([]byte, 1), -1)
		t.fails(err, unix.EINVAL)
		_, err = unix.Seek(fd, -1, unix.SEEK_SET)
		t.fails(err, unix.EINVAL)
	})
	a.test("io/seek from start, here and end", "f=0123456789", func(t *T) {
		fd := t.open("f", unix.O_RDONLY, 0)
		for _, s := range []struct {
			offset int64
			whence int
			want   int64
		}{{4, unix.SEEK_SET, 4}, {2, unix.SEEK_CUR, 6}, {-3, unix.SEEK_END, 7}, {5, unix.SEEK_END, 15}} {
			at, err := unix.Seek(fd, s.offset, s.whence)
			t.must(err)
			same(t, "offset", at, s.want)
		}
	})
	a.test("io/pread and pwrite leave the offset", "f=0123456789", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		_, err := unix.Pwrite(fd, []byte("xy"), 4)
		t.must(err)
		t.holds(fd, 3, []byte("3xy6"))
		at, err := unix.Seek(fd, 0, unix.SEEK_CUR)
		t.must(err)
		same(t, "offset", at, 0)
	})
	a.test("io/readv and writev", "f", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		n, err := unix.Writev(fd, [][]byte{[]byte("a"), {}, []byte("bcd"), []byte("ef")})
		t.must(err)
		same(t, "bytes written", n, 6)
		_, err = unix.Seek(fd, 1, unix.SEEK_SET)
		t.must(err)
		x, y := make([]byte, 2), make([]byte, 8)
		n, err = unix.Readv(fd, [][]byte{x, y})
		t.must(err)
		same(t, "what is read", string(x)+string(y[:n-2]), "bcdef")
	})
	a.test("io/preadv and pwritev", "f=0123456789", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		_, err := unix.Pwritev(fd, [][]byte{[]byte("a"), []byte("bc")}, 8)
		t.must(err)
		x, y := make([]byte, 1), make([]byte, 2)
		_, err = unix.Preadv(fd, [][]byte{x, y}, 8)
		t.must(err)
		same(t, "what is read", string(x)+string(y), "abc")
	})
	a.test("io/writev of 1024 pieces", "f", func(t *T) {
		pieces := make([][]byte, 1024)
		for i := range pieces {
			pieces[i] = pattern(int64(i*7), 7)
		}
		fd := t.open("f", unix.O_RDWR, 0)
		n, err := unix.Writev(fd, pieces)
		t.must(err)
		same(t, "bytes written", n, 7*1024)
		t.holds(fd, 0, pattern(0, 7*1024))
	})
	a.test("io/overwriting in the middle", "f", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		want := pattern(0, 100_000)
		t.put(fd, string(want))
		for _, r := range [][2]int{{10, 5}, {4090, 12}, {8191, 2}, {40_000, 30_000}, {99_999, 1}} {
			part := bytes.Repeat([]byte{byte(r[1])}, r[1])
			copy(want[r[0]:], part)
			_, err := unix.Pwrite(fd, part, int64(r[0]))
			t.must(err)
		}
		t.holds(fd, 0, want)
		same(t, "size", t.size("f"), 100_000)
	})
	a.test("io/byte by byte", "f", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		for i := range 300 {
			t.put(fd, string([]byte{byte(i)}))
		}
		for i := range 300 {
			t.holds(fd, int64(i), []byte{byte(i)})
		}
	})
	a.test("io/backwards", "f", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		const piece, pieces = 1000, 50
		for i := pieces - 1; i >= 0; i-- {
			_, err := unix.Pwrite(fd, pattern(int64(i*piece), piece), int64(i*piece))
			t.must(err)
		}
		t.holds(fd, 0, pattern(0, piece*pieces))
	})
	a.test("io/two descriptors see each other", "f", func(t *T) {
		x, y := t.open("f", unix.O_RDWR, 0), t.open("f", unix.O_RDWR, 0)
		for i := range 20 {
			text := fmt.Sprintf("round %02d", i)
			_, err := unix.Pwrite(x, []byte(text), 0)
			t.must(err)
			t.holds(y, 0, []byte(text))
			x, y = y, x
		}
	})
	a.test("io/another process sees it at once", "f=old", func(t *T) {
		t.reads("f", "old")
		t.write("f", "newer")
		same(t, "what the child reads", t.child("read", t.at("f")), "newer")
	})
	a.test("io/what another process writes is seen at once", "f=old", func(t *T) {
		fd := t.open("f", unix.O_RDONLY, 0)
		t.holds(fd, 0, []byte("old"))
		same(t, "the child", t.child("append", t.at("f"), "er"), "ok")
		t.holds(fd, 0, []byte("older"))
	})
	a.test("io/8 MiB", "f", func(t *T) {
		const size = 8 << 20
		want := pattern(0, size)
		t.must(os.WriteFile(t.at("f"), want, 0o644))
		got, err := os.ReadFile(t.at("f"))
		if err != nil || !bytes.Equal(got, want) {
			t.errorf("%d bytes came back, or others, %v", len(got), err)
		}
	})
	a.test("io/a file is too large", "f", func(t *T) {
		_, err := unix.Pwrite(t.open("f", unix.O_RDWR, 0), []byte("x"), 1<<62)
		t.fails(err, unix.EFBIG)
		same(t, "size", t.size("f"), 0)
	})
	a.test("io/O_DIRECT", "f", func(t *T) {
		const block = 4096
		fd := t.open("f", unix.O_RDWR|unix.O_DIRECT, 0)
		buf, err := unix.Mmap(-1, 0, 4*block, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		t.must(err)
		t.cleanup(func() { t.must(unix.Munmap(buf)) })
		copy(buf, pattern(0, 4*block))
		n, err := unix.Pwrite(fd, buf, 0)
		t.must(err)
		same(t, "bytes written", n, 4*block)
		t.reads("f", string(pattern(0, 4*block)))
		clear(buf)
		n, err = unix.Pread(fd, buf[:2*block], block)
		t.must(err)
		if n != 2*block || !bytes.Equal(buf[:2*block], pattern(block, 2*block)) {
			t.errorf("%d bytes came back, or others", n)
		}
	})
	a.test("io/O_DIRECT sees what the cache holds", "f=text", func(t *T) {
		cached, direct := t.open("f", unix.O_RDWR, 0), t.open("f", unix.O_RDONLY|unix.O_DIRECT, 0)
		_, err := unix.Pwrite(cached, pattern(0, 8192), 0)
		t.must(err)
		buf, err := unix.Mmap(-1, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		t.must(err)
		t.cleanup(func() { t.must(unix.Munmap(buf)) })
		n, err := unix.Pread(direct, buf, 0)
		t.must(err)
		if n != 8192 || !bytes.Equal(buf, pattern(0, 8192)) {
			t.errorf("%d bytes came back, or others", n)
		}
	})
	a.test("io/fadvise and readahead", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDONLY, 0)
		for _, advice := range []int{unix.FADV_SEQUENTIAL, unix.FADV_RANDOM, unix.FADV_WILLNEED, unix.FADV_DONTNEED} {
			t.must(unix.Fadvise(fd, 0, 0, advice))
			t.holds(fd, 0, []byte("text"))
		}
	})
	for _, call := range []struct {
		name string
		do   func(fd int) error
	}{
		{"fsync", unix.Fsync}, {"fdatasync", unix.Fdatasync}, {"syncfs", unix.Syncfs},
		{"sync_file_range", func(fd int) error {
			return unix.SyncFileRange(fd, 0, 4, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
		}},
	} {
		a.test("io/"+call.name, "f", func(t *T) {
			fd := t.open("f", unix.O_RDWR, 0)
			t.put(fd, "text")
			t.must(call.do(fd))
			t.must(call.do(t.open("f", unix.O_RDONLY, 0)))
			t.reads("f", "text")
		})
	}
	a.test("io/fsync of a directory", "d/", func(t *T) { t.must(unix.Fsync(t.open("d", unix.O_RDONLY, 0))) })
	a.test("io/fsync of a file without a name", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(os.Remove(t.at("f")))
		t.put(fd, "more")
		t.must(unix.Fsync(fd))
	})
}

// offsetCases write and read across all the borders that caches and messages have.
func offsetCases(a *area) {
	for _, offset := range []int64{0, 1, 511, 4095, 4096, 65_537, 1<<20 - 1, 1<<20 + 3} {
		for _, size := range []int{1, 4097, 131_073, 1<<20 + 5} {
			a.test(fmt.Sprintf("io/%d bytes at %d", size, offset), "f", func(t *T) {
				fd := t.open("f", unix.O_RDWR, 0)
				want := pattern(offset, size)
				for done := 0; done < size; {
					n, err := unix.Pwrite(fd, want[done:], offset+int64(done))
					t.must(err)
					done += n
				}
				same(t, "size", t.fstat(fd).Size, offset+int64(size))
				t.holds(fd, offset, want)
				if offset > 0 {
					t.holds(fd, max(offset-10, 0), append(make([]byte, min(offset, 10)), want[:1]...))
				}
				t.holds(t.open("f", unix.O_RDONLY, 0), offset+int64(size)-1, want[size-1:])
			})
		}
	}
}

func init() {
	children["read"] = func(args []string) string {
		b, err := os.ReadFile(args[0])
		if err != nil {
			return said(err)
		}
		return string(b)
	}
}
