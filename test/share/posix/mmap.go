//go:build linux

package posix

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

const page = 4096

// mapped maps an open file for the length of the case.
func (t *T) mapped(fd int, size, prot, flags int) []byte {
	m, err := unix.Mmap(fd, 0, size, prot, flags)
	t.must(err)
	t.cleanup(func() { t.must(unix.Munmap(m)) })
	return m
}

// faults tells whether touching a byte is a bus error.
func faults(touch func()) (caught bool) {
	defer func() {
		if r := recover(); r != nil {
			caught = true
			_ = fmt.Sprint(r)
		}
	}()
	touch()
	return false
}

// mmapCases are about mapped files.
func mmapCases(a *area) {
	const rw, shared, private = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED, unix.MAP_PRIVATE
	a.test("mmap/what a file holds", "f=text", func(t *T) {
		m := t.mapped(t.open("f", unix.O_RDONLY, 0), page, unix.PROT_READ, shared)
		same(t, "bytes", string(m[:4]), "text")
		same(t, "what is behind the end", string(m[4:8]), "\x00\x00\x00\x00")
	})
	a.test("mmap/a shared write is read", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		m := t.mapped(fd, 4, rw, shared)
		copy(m, "TEXT")
		t.holds(fd, 0, []byte("TEXT"))
		t.reads("f", "TEXT")
	})
	a.test("mmap/a write is seen in the map", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		m := t.mapped(fd, 4, unix.PROT_READ, shared)
		same(t, "bytes", string(m), "text")
		_, err := unix.Pwrite(fd, []byte("TEXT"), 0)
		t.must(err)
		same(t, "bytes", string(m), "TEXT")
	})
	a.test("mmap/two maps of one file", "f=text", func(t *T) {
		x := t.mapped(t.open("f", unix.O_RDWR, 0), 4, rw, shared)
		y := t.mapped(t.open("f", unix.O_RDWR, 0), 4, rw, shared)
		x[0] = 'n'
		y[3] = 's'
		same(t, "bytes", string(x)+string(y), "nexsnexs")
	})
	a.test("mmap/another process reads it", "f=text", func(t *T) {
		m := t.mapped(t.open("f", unix.O_RDWR, 0), 4, rw, shared)
		copy(m, "TEXT")
		same(t, "the child reads", t.child("read", t.at("f")), "TEXT")
	})
	a.test("mmap/a private write stays private", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		m := t.mapped(fd, 4, rw, private)
		copy(m, "TEXT")
		t.reads("f", "text")
		same(t, "bytes", string(m), "TEXT")
	})
	a.test("mmap/a private map of what is read-only", "f=text", func(t *T) {
		m := t.mapped(t.open("f", unix.O_RDONLY, 0), 4, rw, private)
		copy(m, "TEXT")
		t.reads("f", "text")
	})
	a.test("mmap/no shared write of what is read-only", "f=text", func(t *T) {
		_, err := unix.Mmap(t.open("f", unix.O_RDONLY, 0), 0, 4, rw, shared)
		t.fails(err, unix.EACCES)
	})
	a.test("mmap/no map of what is write-only", "f=text", func(t *T) {
		_, err := unix.Mmap(t.open("f", unix.O_WRONLY, 0), 0, 4, unix.PROT_READ, shared)
		t.fails(err, unix.EACCES)
	})
	a.test("mmap/no map of a directory", "d/", func(t *T) {
		_, err := unix.Mmap(t.open("d", unix.O_RDONLY, 0), 0, 4, unix.PROT_READ, shared)
		t.fails(err, unix.ENODEV)
	})
	a.test("mmap/outlives the descriptor", "f=text", func(t *T) {
		fd, err := unix.Open(t.at("f"), unix.O_RDWR|unix.O_CLOEXEC, 0)
		t.must(err)
		m := t.mapped(fd, 4, rw, shared)
		t.must(unix.Close(fd))
		copy(m, "TEXT")
		t.must(unix.Msync(m, unix.MS_SYNC))
		t.reads("f", "TEXT")
	})
	a.test("mmap/unmapped without msync is written", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		m, err := unix.Mmap(fd, 0, 4, rw, shared)
		t.must(err)
		copy(m, "TEXT")
		t.must(unix.Munmap(m))
		t.must(unix.Close(fd))
		same(t, "the child reads", t.child("read", t.at("f")), "TEXT")
	})
	for _, how := range []struct {
		name string
		flag int
	}{{"SYNC", unix.MS_SYNC}, {"ASYNC", unix.MS_ASYNC}, {"INVALIDATE", unix.MS_SYNC | unix.MS_INVALIDATE}} {
		a.test("mmap/msync "+how.name, "f=text", func(t *T) {
			fd := t.open("f", unix.O_RDWR, 0)
			m := t.mapped(fd, 4, rw, shared)
			copy(m, "TEXT")
			t.must(unix.Msync(m, how.flag))
			t.holds(fd, 0, []byte("TEXT"))
		})
	}
	a.test("mmap/many pages, in no order", "", func(t *T) {
		const pages = 256
		fd := t.file("f")
		t.must(unix.Ftruncate(fd, pages*page))
		m := t.mapped(fd, pages*page, rw, shared)
		for i := range pages {
			at := i * 97 % pages * page
			copy(m[at:at+page], pattern(int64(at), page))
		}
		t.must(unix.Msync(m, unix.MS_SYNC))
		t.holds(fd, 0, pattern(0, pages*page))
	})
	a.test("mmap/of what is written meanwhile", "f", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(unix.Ftruncate(fd, 4*page))
		m := t.mapped(fd, 4*page, rw, shared)
		for i := range 4 {
			at := int64(i * page)
			copy(m[at:at+100], pattern(at, 100))
			_, err := unix.Pwrite(fd, pattern(at+100, 100), at+100)
			t.must(err)
		}
		for i := range 4 {
			at := int64(i * page)
			t.holds(fd, at, pattern(at, 200))
			same(t, "map and file agree", bytes.Equal(m[at:at+200], pattern(at, 200)), true)
		}
	})
	a.test("mmap/behind the end is a bus error", "f=text", func(t *T) {
		m := t.mapped(t.open("f", unix.O_RDWR, 0), 2*page, rw, shared)
		same(t, "in the last page", faults(func() { m[page-1] = 1 }), false)
		same(t, "behind it", faults(func() { m[page] = 1 }), true)
	})
	a.test("mmap/what is cut off is a bus error", "", func(t *T) {
		fd := t.file("f")
		t.put(fd, string(pattern(0, 3*page)))
		m := t.mapped(fd, 3*page, rw, shared)
		same(t, "before", faults(func() { m[2*page] = 1 }), false)
		t.must(unix.Ftruncate(fd, page))
		same(t, "behind the end", faults(func() { m[2*page] = 1 }), true)
		same(t, "before the end", faults(func() { m[0] = 1 }), false)
		t.must(unix.Ftruncate(fd, 3*page))
		same(t, "when it has grown again", faults(func() { m[2*page] = 7 }), false)
		t.holds(fd, 2*page-1, []byte{0, 7, 0})
	})
	a.test("mmap/the rest of a page that is cut is zero", "", func(t *T) {
		fd := t.file("f")
		t.put(fd, string(pattern(0, page)))
		m := t.mapped(fd, page, rw, shared)
		t.must(unix.Ftruncate(fd, 100))
		same(t, "behind the end", m[100]|m[page-1], 0)
		t.must(unix.Ftruncate(fd, page))
		t.holds(fd, 99, append(pattern(99, 1), make([]byte, page-100)...))
	})
	a.test("mmap/a hole is filled", "", func(t *T) {
		fd := t.file("f")
		t.must(unix.Ftruncate(fd, mib))
		m := t.mapped(fd, mib, rw, shared)
		same(t, "a byte of a hole", m[5*page], 0)
		m[7*page+3] = 9
		t.must(unix.Msync(m, unix.MS_SYNC))
		t.holds(fd, 7*page+2, []byte{0, 9, 0})
	})
	a.test("mmap/a file that somebody else writes first", "f=text", func(t *T) {
		m := t.mapped(t.open("f", unix.O_RDONLY, 0), 4, unix.PROT_READ, shared)
		same(t, "before", string(m), "text")
		fd := t.open("f", unix.O_WRONLY, 0)
		_, err := unix.Pwrite(fd, []byte("TEXT"), 0)
		t.must(err)
		same(t, "after", string(m), "TEXT")
	})
	a.test("mmap/grown by one who writes", "f", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		m := t.mapped(fd, 4*page, rw, shared)
		t.put(fd, string(pattern(0, 3*page)))
		same(t, "the third page", faults(func() { m[2*page] = 1 }), false)
		same(t, "the fourth page", faults(func() { m[3*page] = 1 }), true)
	})
	a.test("mmap/executed", "", func(t *T) {
		fd := t.file("f")
		t.put(fd, string(pattern(0, page)))
		m := t.mapped(fd, page, unix.PROT_READ|unix.PROT_EXEC, private)
		same(t, "a byte", m[7], pattern(7, 1)[0])
	})
}
