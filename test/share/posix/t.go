//go:build linux

package posix

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// T is one case under way.
type T struct {
	dir    string // the case's own directory
	failed []string
	done   []func()
}

// stop is what fatal panics with.
type stop struct{}

func (t *T) errorf(format string, args ...any) {
	t.failed = append(t.failed, fmt.Sprintf(format, args...))
}

func (t *T) fatalf(format string, args ...any) {
	t.errorf(format, args...)
	panic(stop{})
}

// cleanup has fn called at the end, the last one first.
func (t *T) cleanup(fn func()) { t.done = append(t.done, fn) }

// at is the path of a name in the case's directory.
func (t *T) at(name string) string { return filepath.Join(t.dir, name) }

// must ends the case if something fails that is no question.
func (t *T) must(err error) {
	if err != nil {
		t.fatalf("%v", err)
	}
}

// fails demands one of some errors.
func (t *T) fails(err error, want ...unix.Errno) {
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	t.errorf("error %v, want %v", err, want)
}

// same demands that two values are equal.
func same[V comparable](t *T, what string, got, want V) {
	if got != want {
		t.errorf("%s is %v, want %v", what, got, want)
	}
}

// open opens a name for the length of the case.
func (t *T) open(name string, flags int, mode uint32) int {
	fd, err := unix.Open(t.at(name), flags|unix.O_CLOEXEC, mode)
	if err != nil {
		t.fatalf("open %s: %v", name, err)
	}
	t.cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// file opens a name for reading and writing, made if need be.
func (t *T) file(name string) int { return t.open(name, unix.O_RDWR|unix.O_CREAT, 0o644) }

func (t *T) write(name, text string) { t.must(os.WriteFile(t.at(name), []byte(text), 0o644)) }

// reads demands what a file holds.
func (t *T) reads(name, want string) {
	got, err := os.ReadFile(t.at(name))
	if err != nil || string(got) != want {
		t.errorf("%s holds %s, %v, want %s", name, short(string(got)), err, short(want))
	}
}

// holds demands what an open file holds from an offset on.
func (t *T) holds(fd int, offset int64, want []byte) {
	got := make([]byte, len(want)+1)
	n, err := pread(fd, got, offset)
	if err != nil || !bytes.HasPrefix(got[:n], want) {
		t.errorf("at %d there is %s, %v, want %s", offset, short(string(got[:n])), err, short(string(want)))
	}
}

// pread reads until the buffer is full or the file ends.
func pread(fd int, b []byte, offset int64) (int, error) {
	for done := 0; ; {
		n, err := unix.Pread(fd, b[done:], offset+int64(done))
		if err != nil || n == 0 || done+n == len(b) {
			return done + max(n, 0), err
		}
		done += n
	}
}

func (t *T) put(fd int, text string) {
	n, err := unix.Write(fd, []byte(text))
	if err != nil || n != len(text) {
		t.fatalf("write: %d, %v", n, err)
	}
}

func (t *T) stat(name string) unix.Stat_t {
	var st unix.Stat_t
	if err := unix.Lstat(t.at(name), &st); err != nil {
		t.fatalf("stat %s: %v", name, err)
	}
	return st
}

func (t *T) fstat(fd int) unix.Stat_t {
	var st unix.Stat_t
	t.must(unix.Fstat(fd, &st))
	return st
}

// gone demands that there is no such name.
func (t *T) gone(name string) {
	var st unix.Stat_t
	t.fails(unix.Lstat(t.at(name), &st), unix.ENOENT)
}

func (t *T) mode(name string) uint32  { return t.stat(name).Mode & 0o7777 }
func (t *T) size(name string) int64   { return t.stat(name).Size }
func (t *T) nlink(name string) uint64 { return uint64(t.stat(name).Nlink) }

// names lists a directory, sorted.
func (t *T) names(name string) string {
	entries, err := os.ReadDir(t.at(name))
	t.must(err)
	all := make([]string, len(entries))
	for i, e := range entries {
		all[i] = e.Name()
	}
	return strings.Join(all, " ")
}

// umask sets the mask for the length of the case.
func (t *T) umask(mask int) {
	old := unix.Umask(mask)
	t.cleanup(func() { unix.Umask(old) })
}

// pattern is bytes that tell where they belong.
func pattern(offset int64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		at := offset + int64(i)
		b[i] = byte(at ^ at>>8 ^ at>>16 ^ 0x5a)
	}
	return b
}

func short(s string) string {
	const most = 60
	if len(s) > most {
		return fmt.Sprintf("%q... (%d bytes)", s[:most], len(s))
	}
	return fmt.Sprintf("%q", s)
}
