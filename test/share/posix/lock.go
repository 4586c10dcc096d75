//go:build linux

package posix

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// locked sets a lock of fcntl(2) on a range.
func locked(fd int, cmd int, kind int16, start, length int64) error {
	return unix.FcntlFlock(uintptr(fd), cmd, &unix.Flock_t{Type: kind, Whence: unix.SEEK_SET, Start: start, Len: length})
}

// tries has another process try to lock a range, and tells what it got.
func (t *T) tries(name string, kind int16, start, length int64) string {
	return t.child("lock", t.at(name), itoa(int(kind)), itoa(int(start)), itoa(int(length)))
}

func init() {
	children["lock"] = func(args []string) string {
		fd, err := unix.Open(args[0], unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return said(err)
		}
		n := make([]int64, 3)
		for i := range n {
			n[i], _ = strconv.ParseInt(args[i+1], 10, 64)
		}
		return said(locked(fd, unix.F_SETLK, int16(n[0]), n[1], n[2]))
	}
	children["asks"] = func(args []string) string {
		fd, err := unix.Open(args[0], unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return said(err)
		}
		l := unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_SET}
		if err := unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &l); err != nil {
			return said(err)
		}
		return strings.Join([]string{itoa(int(l.Type)), itoa(int(l.Start)), itoa(int(l.Len)), itoa(int(l.Pid))}, " ")
	}
	children["flock"] = func(args []string) string {
		fd, err := unix.Open(args[0], unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return said(err)
		}
		how, _ := strconv.Atoi(args[1])
		return said(unix.Flock(fd, how|unix.LOCK_NB))
	}
}

// lockCases are about locks, which hold among processes of one machine.
func lockCases(a *area) {
	const r, w, u = unix.F_RDLCK, unix.F_WRLCK, unix.F_UNLCK
	flock := func(t *T, how int) string { return t.child("flock", t.at("f"), itoa(how)) }
	for _, c := range []struct {
		name      string
		have, try int
		want      string
	}{
		{"shared beside shared", unix.LOCK_SH, unix.LOCK_SH, "ok"}, {"exclusive beside shared", unix.LOCK_SH, unix.LOCK_EX, "EAGAIN"},
		{"shared beside exclusive", unix.LOCK_EX, unix.LOCK_SH, "EAGAIN"}, {"exclusive beside exclusive", unix.LOCK_EX, unix.LOCK_EX, "EAGAIN"},
	} {
		a.test("lock/flock "+c.name, "f", func(t *T) {
			t.must(unix.Flock(t.open("f", unix.O_RDWR, 0), c.have))
			same(t, "the other gets", flock(t, c.try), c.want)
		})
	}
	a.test("lock/flock ends with unlock", "f", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(unix.Flock(fd, unix.LOCK_EX))
		t.must(unix.Flock(fd, unix.LOCK_UN))
		same(t, "the other gets", flock(t, unix.LOCK_EX), "ok")
	})
	a.test("lock/flock ends with the descriptor, and its copies", "f", func(t *T) {
		fd, err := unix.Open(t.at("f"), unix.O_RDWR|unix.O_CLOEXEC, 0)
		t.must(err)
		other, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		t.must(err)
		t.must(unix.Flock(fd, unix.LOCK_EX))
		t.must(unix.Close(fd))
		same(t, "the other gets", flock(t, unix.LOCK_EX), "EAGAIN")
		t.must(unix.Close(other))
		same(t, "the other gets", flock(t, unix.LOCK_EX), "ok")
	})
	a.test("lock/flock is the open file's, not the process's", "f", func(t *T) {
		t.must(unix.Flock(t.open("f", unix.O_RDWR, 0), unix.LOCK_EX))
		t.fails(unix.Flock(t.open("f", unix.O_RDWR, 0), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
	})
	a.test("lock/flock is raised and lowered", "f", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(unix.Flock(fd, unix.LOCK_SH))
		t.must(unix.Flock(fd, unix.LOCK_EX))
		same(t, "the other gets", flock(t, unix.LOCK_SH), "EAGAIN")
		t.must(unix.Flock(fd, unix.LOCK_SH))
		same(t, "the other gets", flock(t, unix.LOCK_SH), "ok")
	})
	a.test("lock/flock of a directory", "d/", func(t *T) {
		t.must(unix.Flock(t.open("d", unix.O_RDONLY, 0), unix.LOCK_EX))
		t.fails(unix.Flock(t.open("d", unix.O_RDONLY, 0), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
	})
	a.test("lock/flock of what is open for reading", "f", func(t *T) {
		t.must(unix.Flock(t.open("f", unix.O_RDONLY, 0), unix.LOCK_EX))
		same(t, "the other gets", flock(t, unix.LOCK_EX), "EAGAIN")
	})
	for _, c := range []struct {
		name       string
		have, kind int16
		at, length int64
		want       string
	}{
		{"read beside read", r, r, 0, 0, "ok"}, {"write beside read", r, w, 0, 0, "EAGAIN"}, {"read beside write", w, r, 0, 0, "EAGAIN"},
		{"write beside write", w, w, 0, 0, "EAGAIN"}, {"just before", w, w, 0, 10, "ok"}, {"just behind", w, w, 20, 0, "ok"},
		{"one byte over the start", w, w, 0, 11, "EAGAIN"}, {"one byte over the end", w, w, 19, 5, "EAGAIN"}, {"all of it", w, w, 0, 0, "EAGAIN"},
		{"within", w, w, 12, 2, "EAGAIN"}, {"far behind the end of the file", w, w, 1 << 40, 0, "ok"},
	} {
		for _, kind := range []struct {
			name string
			cmd  int
		}{{"POSIX", unix.F_SETLK}, {"OFD", unix.F_OFD_SETLK}} {
			a.test("lock/"+kind.name+" "+c.name, "f", func(t *T) {
				t.must(locked(t.open("f", unix.O_RDWR, 0), kind.cmd, c.have, 10, 10))
				same(t, "the other gets", t.tries("f", c.kind, c.at, c.length), c.want)
			})
		}
	}
	a.test("lock/POSIX ends with unlock, in part", "f", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(locked(fd, unix.F_SETLK, w, 0, 30))
		t.must(locked(fd, unix.F_SETLK, u, 10, 10))
		same(t, "the other gets the hole", t.tries("f", w, 10, 10), "ok")
		same(t, "the other gets more", t.tries("f", w, 9, 2), "EAGAIN")
		same(t, "the other gets more", t.tries("f", w, 20, 1), "EAGAIN")
	})
	a.test("lock/POSIX ends with any close of the file", "f", func(t *T) {
		t.must(locked(t.open("f", unix.O_RDWR, 0), unix.F_SETLK, w, 0, 0))
		t.must(t.opening("f", unix.O_RDONLY))
		same(t, "the other gets", t.tries("f", w, 0, 0), "ok")
	})
	a.test("lock/OFD does not end with another's close", "f", func(t *T) {
		t.must(locked(t.open("f", unix.O_RDWR, 0), unix.F_OFD_SETLK, w, 0, 0))
		t.must(t.opening("f", unix.O_RDONLY))
		same(t, "the other gets", t.tries("f", w, 0, 0), "EAGAIN")
	})
	a.test("lock/OFD within one process", "f", func(t *T) {
		x, y := t.open("f", unix.O_RDWR, 0), t.open("f", unix.O_RDWR, 0)
		t.must(locked(x, unix.F_OFD_SETLK, w, 0, 10))
		t.fails(locked(y, unix.F_OFD_SETLK, w, 5, 10), unix.EAGAIN)
		t.must(locked(y, unix.F_OFD_SETLK, w, 10, 10))
	})
	a.test("lock/POSIX against OFD", "f", func(t *T) {
		t.must(locked(t.open("f", unix.O_RDWR, 0), unix.F_SETLK, w, 0, 10))
		t.fails(locked(t.open("f", unix.O_RDWR, 0), unix.F_OFD_SETLK, w, 0, 10), unix.EAGAIN)
	})
	a.test("lock/GETLK names the holder", "f", func(t *T) {
		t.must(locked(t.open("f", unix.O_RDWR, 0), unix.F_SETLK, r, 10, 20))
		same(t, "the other sees", t.child("asks", t.at("f")), strings.Join([]string{itoa(r), "10", "20", itoa(os.Getpid())}, " "))
	})
	a.test("lock/GETLK of what is free", "f", func(t *T) {
		same(t, "the other sees", strings.Fields(t.child("asks", t.at("f")))[0], itoa(u))
	})
	a.test("lock/write needs an open file that is written", "f", func(t *T) {
		t.fails(locked(t.open("f", unix.O_RDONLY, 0), unix.F_SETLK, w, 0, 0), unix.EBADF)
		t.fails(locked(t.open("f", unix.O_WRONLY, 0), unix.F_SETLK, r, 0, 0), unix.EBADF)
	})
	a.test("lock/one waits for another", "f", func(t *T) {
		x, y := t.open("f", unix.O_RDWR, 0), t.open("f", unix.O_RDWR, 0)
		t.must(locked(x, unix.F_OFD_SETLK, w, 0, 0))
		got := make(chan error)
		go func() { got <- locked(y, unix.F_OFD_SETLKW, w, 0, 0) }()
		select {
		case err := <-got:
			t.fatalf("it did not wait: %v", err)
		default:
		}
		t.must(locked(x, unix.F_OFD_SETLK, u, 0, 0))
		t.must(<-got)
	})
	a.test("lock/one waits for another, by flock", "f", func(t *T) {
		x, y := t.open("f", unix.O_RDWR, 0), t.open("f", unix.O_RDWR, 0)
		t.must(unix.Flock(x, unix.LOCK_EX))
		got := make(chan error)
		go func() { got <- unix.Flock(y, unix.LOCK_EX) }()
		t.must(unix.Flock(x, unix.LOCK_UN))
		t.must(<-got)
	})
	a.test("lock/holds over a rename and an unlink", "f", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.must(locked(fd, unix.F_SETLK, w, 0, 0))
		t.must(os.Link(t.at("f"), t.at("h")))
		t.must(os.Rename(t.at("f"), t.at("g")))
		same(t, "the other gets", t.tries("g", w, 0, 0), "EAGAIN")
		t.must(os.Remove(t.at("g")))
		same(t, "the other gets", t.tries("h", w, 0, 0), "EAGAIN")
	})
	a.test("lock/holds when the file is first written", "f=text", func(t *T) {
		reader := t.open("f", unix.O_RDONLY, 0)
		t.must(unix.Flock(reader, unix.LOCK_EX))
		same(t, "the child", t.child("append", t.at("f"), "x"), "ok")
		same(t, "the other gets", flock(t, unix.LOCK_EX), "EAGAIN")
	})
}
