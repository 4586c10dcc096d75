//go:build linux

package posix

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// tick waits until a file that is changed now gets another time than before. The clock of file systems moves with the kernel's timer,
// by 10 ms at the most.
func tick() {
	const step = 10 * time.Millisecond
	start := coarse()
	for coarse()-start <= step {
		time.Sleep(step / 4)
	}
}

func coarse() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now)
	return time.Duration(now.Nano())
}

func (t *T) utimes(name string, atime, mtime unix.Timespec, flags int) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, t.at(name), []unix.Timespec{atime, mtime}, flags)
}

// fresh demands that a time is of the last minutes: not one that was set, and in no other unit. Guests' clocks may be a little off.
func (t *T) fresh(what string, ts unix.Timespec) {
	if age := time.Since(time.Unix(ts.Unix())).Abs(); age > 10*time.Minute {
		t.errorf("%s is off by %v", what, age)
	}
}

// old is a time that nothing has by itself.
var old = unix.Timespec{Sec: 1_000_000_000, Nsec: 123_456_789}

// timeCases are about times.
func timeCases(a *area) {
	for _, ts := range []struct {
		name string
		time unix.Timespec
	}{
		{"nanoseconds", old}, {"the epoch", unix.Timespec{}}, {"before the epoch", unix.Timespec{Sec: -1000, Nsec: 7}},
		{"after 2038", unix.Timespec{Sec: 1 << 31, Nsec: 999_999_999}}, {"the year 2400", unix.Timespec{Sec: 13569465600, Nsec: 1}},
	} {
		a.test("time/"+ts.name, "f d/", func(t *T) {
			for _, name := range []string{"f", "d"} {
				t.must(t.utimes(name, ts.time, ts.time, 0))
				st := t.stat(name)
				same(t, "atime of "+name, st.Atim, ts.time)
				same(t, "mtime of "+name, st.Mtim, ts.time)
			}
		})
	}
	omit, now := unix.Timespec{Nsec: unix.UTIME_OMIT}, unix.Timespec{Nsec: unix.UTIME_NOW}
	a.test("time/OMIT", "f", func(t *T) {
		t.must(t.utimes("f", old, old, 0))
		t.must(t.utimes("f", unix.Timespec{Sec: 5}, omit, 0))
		same(t, "atime", t.stat("f").Atim.Sec, 5)
		same(t, "mtime", t.stat("f").Mtim, old)
		t.must(t.utimes("f", omit, unix.Timespec{Sec: 6}, 0))
		same(t, "atime", t.stat("f").Atim.Sec, 5)
		same(t, "mtime", t.stat("f").Mtim.Sec, 6)
		t.must(t.utimes("f", omit, omit, 0))
		same(t, "mtime", t.stat("f").Mtim.Sec, 6)
	})
	a.test("time/NOW", "f", func(t *T) {
		t.must(t.utimes("f", old, old, 0))
		t.must(t.utimes("f", now, omit, 0))
		t.fresh("atime", t.stat("f").Atim)
		same(t, "mtime", t.stat("f").Mtim, old)
		t.must(t.utimes("f", old, now, 0))
		t.fresh("mtime", t.stat("f").Mtim)
		same(t, "atime", t.stat("f").Atim, old)
	})
	a.test("time/no such nanosecond", "f", func(t *T) {
		t.fails(t.utimes("f", unix.Timespec{Nsec: 1_000_000_000}, now, 0), unix.EINVAL)
	})
	a.test("time/of a link and not of its file", "f l->f", func(t *T) {
		t.must(t.utimes("f", old, old, 0))
		t.must(t.utimes("l", unix.Timespec{Sec: 5}, unix.Timespec{Sec: 6}, unix.AT_SYMLINK_NOFOLLOW))
		same(t, "mtime of the link", t.stat("l").Mtim.Sec, 6)
		same(t, "mtime of the file", t.stat("f").Mtim, old)
	})
	a.test("time/futimens", "f", func(t *T) {
		t.must(os.Chtimes("/proc/self/fd/"+itoa(t.open("f", unix.O_RDONLY, 0)), time.Unix(3, 4), time.Unix(5, 6)))
		same(t, "mtime", t.stat("f").Mtim, unix.Timespec{Sec: 5, Nsec: 6})
	})
	a.user("time/of what may only be read", "f", func(t *T) {
		t.must(unix.Chmod(t.at("f"), 0o444))
		t.must(t.utimes("f", old, old, 0)) // it is one's own
		same(t, "mtime", t.stat("f").Mtim, old)
	})
	a.test("time/set times change ctime", "f", func(t *T) {
		before := t.stat("f").Ctim
		tick()
		t.must(t.utimes("f", old, old, 0))
		if t.stat("f").Ctim == before {
			t.errorf("ctime has not changed")
		}
		t.fresh("ctime", t.stat("f").Ctim)
	})
	for _, c := range []struct {
		name string
		do   func(t *T)
	}{
		{"a write", func(t *T) { t.put(t.open("f", unix.O_WRONLY, 0), "x") }},
		{"an append", func(t *T) { t.put(t.open("f", unix.O_WRONLY|unix.O_APPEND, 0), "x") }},
		{"a truncate", func(t *T) { t.must(unix.Truncate(t.at("f"), 1)) }},
		{"a truncate that grows", func(t *T) { t.must(unix.Truncate(t.at("f"), 100)) }},
		{"O_TRUNC", func(t *T) { t.must(t.opening("f", unix.O_TRUNC|unix.O_WRONLY)) }},
		{"fallocate", func(t *T) { t.must(unix.Fallocate(t.open("f", unix.O_RDWR, 0), 0, 0, 100)) }},
		{"a mapped write", func(t *T) {
			fd := t.open("f", unix.O_RDWR, 0)
			m, err := unix.Mmap(fd, 0, 4, unix.PROT_WRITE, unix.MAP_SHARED)
			t.must(err)
			m[0] = 'x'
			t.must(unix.Msync(m, unix.MS_SYNC))
			t.must(unix.Munmap(m))
		}},
	} {
		a.test("time/"+c.name+" changes mtime and ctime", "f=text", func(t *T) {
			t.must(t.utimes("f", old, old, 0))
			ctime := t.stat("f").Ctim
			tick()
			c.do(t)
			st := t.stat("f")
			t.fresh("mtime", st.Mtim)
			if st.Ctim == ctime {
				t.errorf("ctime has not changed")
			}
		})
	}
	a.test("time/a write that is done later keeps the time that was set", "f=text", func(t *T) {
		fd := t.open("f", unix.O_RDWR, 0)
		t.put(fd, "xyz")
		t.must(t.utimes("f", old, old, 0))
		t.must(unix.Fsync(fd))
		same(t, "mtime", t.stat("f").Mtim, old)
	})
	a.test("time/closing keeps the time that was set", "", func(t *T) {
		fd, err := unix.Open(t.at("f"), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		t.must(err)
		t.put(fd, "archived") // as tar does
		t.must(t.utimes("f", old, old, 0))
		t.must(unix.Close(fd))
		same(t, "mtime", t.stat("f").Mtim, old)
		t.reads("f", "archived")
		same(t, "mtime", t.stat("f").Mtim, old)
	})
	a.test("time/a read changes no mtime", "f=text", func(t *T) {
		t.must(t.utimes("f", old, old, 0))
		t.reads("f", "text")
		same(t, "mtime", t.stat("f").Mtim, old)
	})
	a.test("time/a read changes atime that is older than mtime", "f=text", func(t *T) {
		t.must(t.utimes("f", unix.Timespec{Sec: 5}, old, 0))
		t.reads("f", "text")
		t.fresh("atime", t.stat("f").Atim)
	})
	a.test("time/a new file is of now", "", func(t *T) {
		t.write("f", "")
		st := t.stat("f")
		t.fresh("atime", st.Atim)
		t.fresh("mtime", st.Mtim)
		t.fresh("ctime", st.Ctim)
	})
	a.test("time/a new file changes its directory", "d/", func(t *T) {
		t.must(t.utimes("d", old, old, 0))
		t.write("d/f", "")
		t.fresh("mtime", t.stat("d").Mtim)
	})
	a.test("time/a write changes no directory", "d/f", func(t *T) {
		t.must(t.utimes("d", old, old, 0))
		t.write("d/f", "text")
		same(t, "mtime", t.stat("d").Mtim, old)
	})
	a.test("time/moves with the file", "f=1 d/", func(t *T) {
		t.must(t.utimes("f", old, old, 0))
		t.must(os.Rename(t.at("f"), t.at("d/f")))
		same(t, "mtime", t.stat("d/f").Mtim, old)
	})
	a.test("time/a change of mode keeps mtime", "f=1 d/g", func(t *T) {
		for _, name := range []string{"f", "d"} {
			t.must(t.utimes(name, old, old, 0))
			t.must(unix.Chmod(t.at(name), 0o700))
			same(t, "mtime of "+name, t.stat(name).Mtim, old)
		}
	})
}
