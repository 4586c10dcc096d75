//go:build linux

package fdpass_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/fdpass"
)

func pair(t *testing.T, typ int) (a, b *net.UnixConn) {
	t.Helper()
	a, b, err := fdpass.Pair(typ)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

func openFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

func TestPassedDescriptorIsTheSameFile(t *testing.T) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET} {
		a, b := pair(t, typ)
		r, w := pipe(t)
		if err := fdpass.Send(a, []byte("take"), int(w.Fd())); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 16)
		n, fds, err := fdpass.Receive(b, buf, 1)
		if err != nil || string(buf[:n]) != "take" || len(fds) != 1 {
			t.Fatalf("%q, descriptors %v, error %v", buf[:n], fds, err)
		}
		if flags, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("flags %#x (%v): not close-on-exec", flags, err)
		}
		if _, err := unix.Write(fds[0], []byte("x")); err != nil {
			t.Fatal(err)
		}
		fdpass.CloseAll(fds)
		if _, err := io.ReadFull(r, buf[:1]); err != nil || buf[0] != 'x' {
			t.Fatalf("read %q, %v", buf[:1], err)
		}
	}
}

func TestReceiveLeavesNothingOpenWhenItFails(t *testing.T) {
	_, w := pipe(t)
	fd := int(w.Fd())
	cases := []struct {
		name  string
		bytes int
		fds   []int
		limit int
		want  error
	}{
		{"none wanted", 4, []int{fd}, 0, fdpass.ErrTooMany},
		{"one more, which fits the padding", 4, []int{fd, fd}, 1, fdpass.ErrTooMany},
		{"many more", 4, []int{fd, fd, fd, fd, fd, fd, fd}, 2, fdpass.ErrTooMany},
		{"too many bytes", 9, []int{fd}, 1, fdpass.ErrTooLong},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, b := pair(t, unix.SOCK_SEQPACKET)
			before := openFDs(t)
			if err := fdpass.Send(a, make([]byte, c.bytes), c.fds...); err != nil {
				t.Fatal(err)
			}
			_, fds, err := fdpass.Receive(b, make([]byte, 8), c.limit)
			if !errors.Is(err, c.want) || fds != nil {
				t.Fatalf("descriptors %v, error %v, want %v", fds, err, c.want)
			}
			if after := openFDs(t); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

func TestReceiveAfterHangUp(t *testing.T) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET} {
		a, b := pair(t, typ)
		_ = a.Close()
		if _, _, err := fdpass.Receive(b, make([]byte, 8), 1); !errors.Is(err, io.EOF) {
			t.Errorf("error %v, want EOF", err)
		}
	}
}

func TestSendRefuses(t *testing.T) {
	a, _ := pair(t, unix.SOCK_SEQPACKET)
	if err := fdpass.Send(a, nil, 0); err == nil {
		t.Error("a message without bytes was sent")
	}
	if err := fdpass.Send(a, []byte("x"), make([]int, fdpass.MaxFDs+1)...); !errors.Is(err, fdpass.ErrTooMany) {
		t.Errorf("error %v", err)
	}
}

func TestListenIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := fdpass.Listen("unixpacket", path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := fdpass.Listen("unixpacket", path); err == nil {
		t.Error("a second listener at the same path")
	}
	_ = l.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

func TestCheckPeer(t *testing.T) {
	a, _ := pair(t, unix.SOCK_SEQPACKET)
	if err := fdpass.CheckPeer(a, os.Getuid()); err != nil {
		t.Error(err)
	}
	if err := fdpass.CheckPeer(a, os.Getuid()+1); err == nil {
		t.Error("another user's socket was accepted")
	}
}
