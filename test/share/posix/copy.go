//go:build linux

package posix

import (
	"os"

	"golang.org/x/sys/unix"
)

// copyCases are about calls that move data from file to file.
func copyCases(a *area) {
	size := 300_000
	source := func(t *T) int {
		fd := t.file("from")
		t.put(fd, string(pattern(0, size)))
		_, err := unix.Seek(fd, 0, unix.SEEK_SET)
		t.must(err)
		return fd
	}
	a.test("copy/copy_file_range", "", func(t *T) {
		in, out := source(t), t.file("to")
		var from, to int64
		for from < int64(size) {
			n, err := unix.CopyFileRange(in, &from, out, &to, size, 0)
			t.must(err)
			if n == 0 {
				break
			}
		}
		t.holds(out, 0, pattern(0, size))
		same(t, "size", t.size("to"), int64(size))
	})
	a.test("copy/copy_file_range of a part, to a part", "", func(t *T) {
		in, out := source(t), t.file("to")
		from, to := int64(1001), int64(77)
		n, err := unix.CopyFileRange(in, &from, out, &to, 5000, 0)
		t.must(err)
		same(t, "bytes", n, 5000)
		same(t, "offsets", [2]int64{from, to}, [2]int64{6001, 5077})
		t.holds(out, 77, pattern(1001, 5000))
		t.holds(out, 0, make([]byte, 77))
	})
	a.test("copy/copy_file_range within a file", "", func(t *T) {
		fd := source(t)
		from, to := int64(0), int64(200_000)
		n, err := unix.CopyFileRange(fd, &from, fd, &to, 50_000, 0)
		t.must(err)
		same(t, "bytes", n, 50_000)
		t.holds(fd, 200_000, pattern(0, 50_000))
		t.holds(fd, 250_000, pattern(250_000, 50_000))
	})
	a.test("copy/copy_file_range over itself", "", func(t *T) {
		fd := source(t)
		from, to := int64(0), int64(10)
		_, err := unix.CopyFileRange(fd, &from, fd, &to, 100, 0)
		t.fails(err, unix.EINVAL)
		t.holds(fd, 0, pattern(0, size))
	})
	a.test("copy/copy_file_range moves the offset", "", func(t *T) {
		in, out := source(t), t.file("to")
		_, err := unix.Seek(in, 100, unix.SEEK_SET)
		t.must(err)
		for range 2 {
			_, err = unix.CopyFileRange(in, nil, out, nil, 1000, 0)
			t.must(err)
		}
		t.holds(out, 0, pattern(100, 2000))
	})
	a.test("copy/copy_file_range at the end", "f=text", func(t *T) {
		in := t.open("f", unix.O_RDONLY, 0)
		from := int64(4)
		n, err := unix.CopyFileRange(in, &from, t.file("to"), nil, 10, 0)
		t.must(err)
		same(t, "bytes", n, 0)
	})
	a.test("copy/copy_file_range of what was just written", "f", func(t *T) {
		in, out := t.open("f", unix.O_RDWR, 0), t.file("to")
		m := t.mapped(in, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		t.put(in, string(pattern(0, page)))
		copy(m[10:], "mapped")
		var from, to int64
		_, err := unix.CopyFileRange(in, &from, out, &to, page, 0)
		t.must(err)
		want := pattern(0, page)
		copy(want[10:], "mapped")
		t.holds(out, 0, want)
	})
	a.test("copy/copy_file_range is seen by who has read it", "f=text", func(t *T) {
		reader := t.open("f", unix.O_RDONLY, 0)
		t.holds(reader, 0, []byte("text"))
		var from, to int64
		_, err := unix.CopyFileRange(source(t), &from, t.open("f", unix.O_WRONLY, 0), &to, 100, 0)
		t.must(err)
		t.holds(reader, 0, pattern(0, 100))
	})
	a.test("copy/copy_file_range takes no append", "f", func(t *T) {
		_, err := unix.CopyFileRange(source(t), nil, t.open("f", unix.O_WRONLY|unix.O_APPEND, 0), nil, 10, 0)
		t.fails(err, unix.EBADF)
	})
	a.test("copy/copy_file_range needs the right to write", "f=text", func(t *T) {
		_, err := unix.CopyFileRange(source(t), nil, t.open("f", unix.O_RDONLY, 0), nil, 10, 0)
		t.fails(err, unix.EBADF)
		t.reads("f", "text")
	})
	a.test("copy/copy_file_range of a directory", "d/", func(t *T) {
		_, err := unix.CopyFileRange(t.open("d", unix.O_RDONLY, 0), nil, t.file("to"), nil, 10, 0)
		t.fails(err, unix.EISDIR, unix.EINVAL)
	})
	a.test("copy/sendfile", "", func(t *T) {
		in, out := source(t), t.file("to")
		var from int64
		for from < int64(size) {
			n, err := unix.Sendfile(out, in, &from, size)
			t.must(err)
			if n == 0 {
				break
			}
		}
		t.holds(out, 0, pattern(0, size))
	})
	a.test("copy/splice through a pipe", "", func(t *T) {
		in, out := source(t), t.file("to")
		var pipe [2]int
		t.must(unix.Pipe2(pipe[:], unix.O_CLOEXEC))
		t.cleanup(func() { _, _ = unix.Close(pipe[0]), unix.Close(pipe[1]) })
		for done := 0; done < size; {
			n, err := unix.Splice(in, nil, pipe[1], nil, 60_000, 0)
			t.must(err)
			if n == 0 {
				break
			}
			for left := int(n); left > 0; {
				n, err := unix.Splice(pipe[0], nil, out, nil, left, 0)
				t.must(err)
				left -= int(n)
			}
			done += int(n)
		}
		t.holds(out, 0, pattern(0, size))
	})
	a.test("copy/a clone is made, or refused as such", "f=text", func(t *T) {
		err := unix.IoctlFileClone(t.file("to"), t.open("f", unix.O_RDONLY, 0))
		if err != nil {
			t.fails(err, unix.EOPNOTSUPP, unix.ENOTTY, unix.EXDEV)
			return
		}
		t.reads("to", "text")
	})
	a.test("copy/as Go's library does", "f", func(t *T) {
		t.must(os.WriteFile(t.at("f"), pattern(0, size), 0o644))
		in, err := os.Open(t.at("f"))
		t.must(err)
		defer in.Close()
		out, err := os.Create(t.at("to"))
		t.must(err)
		defer out.Close()
		n, err := out.ReadFrom(in)
		t.must(err)
		same(t, "bytes", n, int64(size))
		t.reads("to", string(pattern(0, size)))
	})
}
