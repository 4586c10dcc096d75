//go:build linux

package posix

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// specialCases are about FIFOs, sockets and devices that are used.
func specialCases(a *area) {
	a.test("special/a FIFO carries bytes", "", func(t *T) {
		t.must(unix.Mkfifo(t.at("p"), 0o644))
		r := t.open("p", unix.O_RDONLY|unix.O_NONBLOCK, 0)
		w := t.open("p", unix.O_WRONLY, 0)
		t.put(w, "through the pipe")
		b := make([]byte, 64)
		n, err := unix.Read(r, b)
		t.must(err)
		same(t, "bytes", string(b[:n]), "through the pipe")
		same(t, "size", t.size("p"), 0)
	})
	a.test("special/a FIFO between processes", "", func(t *T) {
		t.must(unix.Mkfifo(t.at("p"), 0o644))
		r := t.open("p", unix.O_RDONLY|unix.O_NONBLOCK, 0)
		same(t, "the child", t.child("append", t.at("p"), "from the child"), "ok")
		b := make([]byte, 64)
		n, err := unix.Read(r, b)
		t.must(err)
		same(t, "bytes", string(b[:n]), "from the child")
	})
	a.test("special/a FIFO that nobody reads", "", func(t *T) {
		t.must(unix.Mkfifo(t.at("p"), 0o644))
		t.fails(t.opening("p", unix.O_WRONLY|unix.O_NONBLOCK), unix.ENXIO)
	})
	a.test("special/a FIFO that has moved", "d/", func(t *T) {
		t.must(unix.Mkfifo(t.at("p"), 0o644))
		r := t.open("p", unix.O_RDONLY|unix.O_NONBLOCK, 0)
		t.must(os.Rename(t.at("p"), t.at("d/q")))
		t.put(t.open("d/q", unix.O_WRONLY|unix.O_NONBLOCK, 0), "x")
		n, err := unix.Read(r, make([]byte, 8))
		t.must(err)
		same(t, "bytes read", n, 1)
	})
	socket := func(t *T, kind int) int {
		fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		t.must(err)
		t.cleanup(func() { _ = unix.Close(fd) })
		return fd
	}
	// Paths of sockets are short, those of cases may not be.
	here := func(t *T) func(name string) *unix.SockaddrUnix {
		dir := t.open(".", unix.O_PATH|unix.O_DIRECTORY, 0)
		return func(name string) *unix.SockaddrUnix {
			return &unix.SockaddrUnix{Name: filepath.Join("/proc/self/fd", itoa(dir), name)}
		}
	}
	a.test("special/a socket is bound and reached", "", func(t *T) {
		addr, l, c := here(t), socket(t, unix.SOCK_STREAM), socket(t, unix.SOCK_STREAM)
		t.must(unix.Bind(l, addr("s")))
		same(t, "kind", t.stat("s").Mode&unix.S_IFMT, unix.S_IFSOCK)
		t.must(unix.Listen(l, 1))
		t.must(unix.Connect(c, addr("s")))
		fd, _, err := unix.Accept(l)
		t.must(err)
		t.cleanup(func() { _ = unix.Close(fd) })
		t.put(c, "hello")
		b := make([]byte, 8)
		n, err := unix.Read(fd, b)
		t.must(err)
		same(t, "bytes", string(b[:n]), "hello")
	})
	a.test("special/a socket's name is taken", "s", func(t *T) {
		t.fails(unix.Bind(socket(t, unix.SOCK_STREAM), here(t)("s")), unix.EADDRINUSE)
	})
	a.test("special/a socket that nobody listens at", "", func(t *T) {
		addr, l := here(t), socket(t, unix.SOCK_STREAM)
		t.must(unix.Bind(l, addr("s")))
		t.fails(unix.Connect(socket(t, unix.SOCK_STREAM), addr("s")), unix.ECONNREFUSED)
	})
	a.test("special/a socket that has moved", "d/", func(t *T) {
		addr, l := here(t), socket(t, unix.SOCK_DGRAM)
		t.must(unix.Bind(l, addr("s")))
		t.must(os.Rename(t.at("s"), t.at("d/t")))
		t.must(unix.Sendto(socket(t, unix.SOCK_DGRAM), []byte("x"), 0, addr("d/t")))
		n, _, err := unix.Recvfrom(l, make([]byte, 8), 0)
		t.must(err)
		same(t, "bytes", n, 1)
	})
	a.test("special/a socket is not opened", "", func(t *T) {
		t.must(unix.Bind(socket(t, unix.SOCK_STREAM), here(t)("s")))
		t.fails(t.opening("s", unix.O_RDONLY), unix.ENXIO)
	})
	a.test("special/a socket is removed and bound again", "", func(t *T) {
		addr := here(t)
		for range 3 {
			t.must(unix.Bind(socket(t, unix.SOCK_STREAM), addr("s")))
			t.must(unix.Unlink(t.at("s")))
		}
		t.gone("s")
	})
	a.root("special/a device that works, or is kept from it", "", func(t *T) {
		t.must(unix.Mknod(t.at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		fd, err := unix.Open(t.at("null"), unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			t.fails(err, unix.EACCES) // a mount without devices
			return
		}
		t.put(fd, "nothing")
		n, err := unix.Read(fd, make([]byte, 8))
		t.must(err)
		same(t, "bytes of /dev/null", n, 0)
		t.must(unix.Close(fd))
	})
}

// watcher is an inotify instance.
type watcher struct {
	t  *T
	fd int
}

func (t *T) watch(name string, mask uint32) watcher {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	t.must(err)
	t.cleanup(func() { _ = unix.Close(fd) })
	_, err = unix.InotifyAddWatch(fd, t.at(name), mask)
	t.must(err)
	return watcher{t, fd}
}

// told lists events so far, as their masks in words with the name.
func (w watcher) told() string {
	names := []struct {
		bit  uint32
		name string
	}{
		{unix.IN_CREATE, "create"}, {unix.IN_DELETE, "delete"}, {unix.IN_MOVED_FROM, "from"}, {unix.IN_MOVED_TO, "to"}, {unix.IN_MODIFY, "modify"},
		{unix.IN_CLOSE_WRITE, "close"}, {unix.IN_ATTRIB, "attrib"}, {unix.IN_OPEN, "open"}, {unix.IN_ACCESS, "access"}, {unix.IN_DELETE_SELF, "self"},
	}
	var all []string
	buf := make([]byte, 64<<10)
	n, err := unix.Read(w.fd, buf)
	if err != nil {
		return ""
	}
	for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
		mask, length := binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[12:])
		name, _, _ := strings.Cut(string(b[16:16+length]), "\x00")
		for _, e := range names {
			if mask&e.bit != 0 {
				all = append(all, strings.TrimSpace(e.name+" "+name))
			}
		}
		b = b[16+length:]
	}
	return strings.Join(all, ", ")
}

// notifyCases are about inotify(7) of one's own machine's changes.
func notifyCases(a *area) {
	for _, c := range []struct {
		name, tree string
		mask       uint32
		do         func(t *T)
		want       string
	}{
		{"a new file", "d/", unix.IN_CREATE | unix.IN_CLOSE_WRITE, func(t *T) { t.write("d/f", "") }, "create f, close f"},
		{"a removed file", "d/f", unix.IN_DELETE, func(t *T) { t.must(os.Remove(t.at("d/f"))) }, "delete f"},
		{"a rename", "d/f", unix.IN_MOVE, func(t *T) { t.must(os.Rename(t.at("d/f"), t.at("d/g"))) }, "from f, to g"},
		{"a write", "d/f", unix.IN_MODIFY, func(t *T) { t.put(t.open("d/f", unix.O_WRONLY, 0), "x") }, "modify f"},
		{"a truncate", "d/f=text", unix.IN_MODIFY, func(t *T) { t.must(unix.Truncate(t.at("d/f"), 0)) }, "modify f"},
		{"a mode", "d/f", unix.IN_ATTRIB, func(t *T) { t.must(unix.Chmod(t.at("d/f"), 0o600)) }, "attrib f"},
		{"a directory", "d/", unix.IN_CREATE | unix.IN_DELETE, func(t *T) {
			t.must(os.Mkdir(t.at("d/e"), 0o755))
			t.must(os.Remove(t.at("d/e")))
		}, "create e, delete e"},
		{"a link", "d/ f", unix.IN_CREATE, func(t *T) { t.must(os.Link(t.at("f"), t.at("d/g"))) }, "create g"},
		{"a symbolic link", "d/", unix.IN_CREATE, func(t *T) { t.must(os.Symlink("x", t.at("d/l"))) }, "create l"},
		{"what comes from elsewhere", "d/ f", unix.IN_MOVED_TO, func(t *T) { t.must(os.Rename(t.at("f"), t.at("d/f"))) }, "to f"},
		{"a read", "d/f=x", unix.IN_OPEN | unix.IN_ACCESS, func(t *T) { t.holds(t.open("d/f", unix.O_RDONLY, 0), 0, []byte("x")) }, "open f, access f"},
	} {
		a.test("notify/"+c.name, c.tree, func(t *T) {
			w := t.watch("d", c.mask)
			c.do(t)
			same(t, "what is told", w.told(), c.want)
		})
	}
	a.test("notify/a file itself", "f=text", func(t *T) {
		w := t.watch("f", unix.IN_MODIFY|unix.IN_ATTRIB)
		t.put(t.open("f", unix.O_WRONLY, 0), "x")
		t.must(unix.Chmod(t.at("f"), 0o600))
		same(t, "what is told", w.told(), "modify, attrib")
	})
	a.test("notify/another process's changes", "d/f", func(t *T) {
		w := t.watch("d", unix.IN_MODIFY)
		same(t, "the child", t.child("append", t.at("d/f"), "x"), "ok")
		same(t, "what is told", w.told(), "modify f")
	})
}
