//go:build linux

package shares

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/fusebridge"
	"github.com/voidbox-run/voidbox/link"
	"github.com/voidbox-run/voidbox/plugins/share-virtiofs/internal/jail"
	"github.com/voidbox-run/voidbox/sdk/share"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asGuest is the host's user as the guest sees it.
func asGuest() *share.IDMap {
	return &share.IDMap{HostUID: uint32(os.Getuid()), HostGID: uint32(os.Getgid()), GuestUID: 1000, GuestGID: 1000}
}

// newShare returns a share that leaves the test free.
func newShare(t testing.TB) *Share {
	t.Helper()
	dir, err := os.MkdirTemp("", "share") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	s := New()
	s.Configure(Options{RuntimeDir: dir, Confine: func(jail.Grants) error { return nil }})
	t.Cleanup(func() {
		if err := s.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	return s
}

// requireRoot ends a test that has to mount and may not.
func requireRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() == 0 {
		return
	}
	if os.Getenv("VOIDBOX_REQUIRE_VM") == "1" {
		t.Fatal("mounting needs root")
	}
	t.Skip("mounting needs root (with VOIDBOX_REQUIRE_VM=1 this is a failure)")
}

// mounted attaches mounts and mounts the device's root on this host. It returns the directory.
func mounted(t testing.TB, mounts ...share.Mount) string {
	t.Helper()
	requireRoot(t)
	mask := unix.Umask(0o022)
	t.Cleanup(func() { unix.Umask(mask) })
	s := newShare(t)
	path, err := s.Attach(t.Context(), share.Attachment{Mounts: mounts})
	if err != nil {
		t.Fatal(err)
	}
	return bridge(t, path)
}

// bridge mounts what the share at a socket offers.
func bridge(t testing.TB, socket string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	l, err := link.Dial(ctx, socket, fusebridge.Ask())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b, err := fusebridge.Mount(l, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// shared mounts one directory of the host's, and returns it and where it is mounted.
func shared(t testing.TB, mode share.Mode) (host, guest string) {
	t.Helper()
	host = t.TempDir()
	return host, filepath.Join(mounted(t, share.Mount{HostPath: host, Tag: "m", Mode: mode, IDMap: asGuest()}), "m")
}
