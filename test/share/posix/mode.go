//go:build linux

package posix

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// modeCases are about permissions and the bits beside them.
func modeCases(a *area) {
	for _, mode := range []uint32{0, 0o1, 0o17, 0o644, 0o777, 0o1777, 0o4755, 0o6755, 0o7777} {
		for _, kind := range []string{"f", "d"} {
			a.test(fmt.Sprintf("mode/%s of %04o", map[string]string{"f": "file", "d": "directory"}[kind], mode), "f d/", func(t *T) {
				t.must(unix.Chmod(t.at(kind), mode))
				same(t, "mode", t.mode(kind), mode)
				t.must(unix.Chmod(t.at(kind), 0o755))
				same(t, "mode", t.mode(kind), 0o755)
			})
		}
	}
	for _, mask := range []int{0, 0o022, 0o077, 0o777} {
		a.test(fmt.Sprintf("mode/umask %04o", mask), "", func(t *T) {
			t.umask(mask)
			fd, err := unix.Open(t.at("f"), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o666)
			t.must(closing(fd, err))
			t.must(unix.Mkdir(t.at("d"), 0o777))
			t.must(unix.Mkfifo(t.at("p"), 0o666))
			t.must(unix.Mknod(t.at("n"), unix.S_IFREG|0o666, 0))
			for name, mode := range map[string]uint32{"f": 0o666, "d": 0o777, "p": 0o666, "n": 0o666} {
				same(t, "mode of "+name, t.mode(name), mode&^uint32(mask))
			}
			fd, err = unix.Open(t.dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o666)
			t.must(err)
			same(t, "mode without a name", t.fstat(fd).Mode&0o7777, 0o666&^uint32(mask))
			t.must(unix.Close(fd))
		})
	}
	a.test("mode/set-user-ID of a new file", "", func(t *T) {
		t.must(closing(unix.Open(t.at("f"), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o4755)))
		same(t, "mode", t.mode("f"), 0o4755)
	})
	a.test("mode/sticky of a new directory", "", func(t *T) {
		t.must(unix.Mkdir(t.at("d"), 0o1777))
		same(t, "mode", t.mode("d"), 0o1755)
	})
	a.test("mode/fchmod", "f", func(t *T) {
		t.must(unix.Fchmod(t.open("f", unix.O_RDONLY, 0), 0o4711))
		same(t, "mode", t.mode("f"), 0o4711)
	})
	a.test("mode/chmod changes ctime and no mtime", "f", func(t *T) {
		before := t.stat("f")
		tick()
		t.must(unix.Chmod(t.at("f"), 0o600))
		after := t.stat("f")
		same(t, "mtime", after.Mtim, before.Mtim)
		if after.Ctim == before.Ctim {
			t.errorf("ctime has not changed")
		}
	})
	a.user("mode/a write takes set-user-ID away", "f=text", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0o6777))
		fd := t.open("f", unix.O_WRONLY, 0)
		t.put(fd, "x")
		same(t, "mode", t.mode("f"), 0o777)
	})
	a.user("mode/a truncate takes set-user-ID away", "f=text", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0o6777))
		t.must(unix.Truncate(t.at("f"), 1))
		same(t, "mode", t.mode("f"), 0o777)
	})
	a.user("mode/O_TRUNC takes set-user-ID away", "f=text", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0o6777))
		t.must(t.opening("f", unix.O_TRUNC|unix.O_WRONLY))
		same(t, "mode", t.mode("f"), 0o777)
	})
	a.user("mode/a read leaves set-user-ID", "f=text", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0o6755))
		t.reads("f", "text")
		same(t, "mode", t.mode("f"), 0o6755)
	})
	a.user("mode/set-group-ID that nobody executes stays", "f=text", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0o2666))
		t.put(t.open("f", unix.O_WRONLY, 0), "x")
		same(t, "mode", t.mode("f"), 0o2666)
	})
	a.root("mode/root's write leaves set-user-ID", "f=text", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0o4777))
		t.put(t.open("f", unix.O_WRONLY, 0), "x")
		same(t, "mode", t.mode("f"), 0o4777)
	})
	a.test("mode/set-group-ID of a directory is handed down", "d/", func(t *T) {
		t.must(unix.Chmod(t.at("d"), 0o2755))
		t.must(unix.Mkdir(t.at("d/e"), 0o755))
		same(t, "mode of a directory", t.mode("d/e"), 0o2755)
		t.write("d/f", "")
		same(t, "mode of a file", t.mode("d/f"), 0o644)
	})
	a.root("mode/set-group-ID of a directory hands the group down", "d/", func(t *T) {
		t.must(unix.Chown(t.at("d"), -1, 77))
		t.must(unix.Chmod(t.at("d"), 0o2777))
		t.must(unix.Mkdir(t.at("d/e"), 0o755))
		t.write("d/f", "")
		t.must(os.Symlink("x", t.at("d/l")))
		t.must(unix.Mkfifo(t.at("d/p"), 0o644))
		for _, name := range []string{"d/e", "d/f", "d/l", "d/p"} {
			same(t, "group of "+name, t.stat(name).Gid, 77)
		}
		t.as(1000, 1000, func() { t.write("d/g", "") })
		st := t.stat("d/g")
		same(t, "owner", [2]uint32{st.Uid, st.Gid}, [2]uint32{1000, 77})
	})
	a.root("mode/sticky keeps others from removing", "d/f", func(t *T) {
		t.must(unix.Chown(t.at("d"), 0, 0))
		t.must(unix.Chown(t.at("d/f"), 0, 0))
		t.must(unix.Chmod(t.at("d"), 0o1777))
		t.must(unix.Chmod(t.dir, 0o755))
		t.as(1000, 1000, func() {
			t.fails(unix.Unlink(t.at("d/f")), unix.EPERM, unix.EACCES)
			t.fails(os.Rename(t.at("d/f"), t.at("d/g")), unix.EPERM, unix.EACCES)
			t.write("d/own", "")
			t.must(unix.Unlink(t.at("d/own")))
		})
	})
	a.root("mode/chmod is for the owner", "f", func(t *T) {
		t.must(unix.Chown(t.at("f"), 0, 0))
		t.as(1000, 1000, func() { t.fails(unix.Chmod(t.at("f"), 0o777), unix.EPERM) })
		same(t, "mode", t.mode("f"), 0o644)
	})
	a.root("mode/set-group-ID needs the group", "f", func(t *T) {
		t.must(unix.Chown(t.at("f"), 1000, 77))
		t.as(1000, 1000, func() { t.must(unix.Chmod(t.at("f"), 0o2755)) })
		same(t, "mode", t.mode("f"), 0o755)
	})
	a.test("mode/a running program keeps its bits", "f", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0o755))
		t.write("f", "#!/bin/sh\n")
		same(t, "mode", t.mode("f"), 0o755)
	})
	a.test("mode/a program runs", "f", func(t *T) {
		self, err := os.ReadFile("/proc/self/exe")
		t.must(err)
		t.must(os.WriteFile(t.at("prog"), self, 0o755))
		same(t, "what it says", t.run("prog", "said"), "hello")
	})
	a.test("mode/a program that runs is not written", "", func(t *T) {
		self, err := os.ReadFile("/proc/self/exe")
		t.must(err)
		t.must(os.WriteFile(t.at("prog"), self, 0o755))
		end := t.start("prog", "wait")
		err = t.opening("prog", unix.O_WRONLY)
		end()
		t.fails(err, unix.ETXTBSY)
	})
	a.test("mode/what has no x does not run", "", func(t *T) {
		t.must(os.WriteFile(t.at("prog"), []byte("#!/bin/true\n"), 0o644))
		t.fails(unix.Access(t.at("prog"), unix.X_OK), unix.EACCES)
	})
}
