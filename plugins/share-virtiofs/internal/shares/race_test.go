//go:build linux

package shares

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/share"
)

// racing tells whether a race goes on: 5000 rounds, or as long as VOIDBOX_RACE says, such as 60s.
func racing(t *testing.T) func(round int) bool {
	t.Helper()
	v := os.Getenv("VOIDBOX_RACE")
	if v == "" {
		return func(round int) bool { return round < 5000 }
	}
	length, err := time.ParseDuration(v)
	must(t, err)
	end := time.Now().Add(length)
	return func(int) bool { return time.Now().Before(end) }
}

// A directory of the host's becomes a link to one outside, again and again, while the guest opens and makes files below it. The
// link is relative: from where the guest's kernel stands, which follows it by itself, it leads nowhere. So whatever is read or
// made through it, the share has followed it.
func TestSymlinkSwapsLeadNowhere(t *testing.T) {
	base := t.TempDir()
	host, outside := filepath.Join(base, "host"), filepath.Join(base, "outside")
	real, link := filepath.Join(host, "dir"), filepath.Join(host, "link")
	must(t, errors.Join(os.MkdirAll(real, 0o755), os.Mkdir(outside, 0o755), os.Symlink("../outside", link)))
	write(t, filepath.Join(outside, "file"), "secret")
	write(t, filepath.Join(real, "file"), "public")
	guest := filepath.Join(mounted(t, share.Mount{HostPath: host, Tag: "m", Mode: share.ReadWrite}), "m")

	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, real, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
			}
		}
	})
	seen, goes := 0, racing(t)
	for i := 0; goes(i); i++ {
		b, err := os.ReadFile(filepath.Join(guest, "dir", "file"))
		if err == nil && string(b) != "public" {
			t.Errorf("round %d: the guest reads %q", i, b)
			break
		}
		if err == nil {
			seen++
		}
		_ = os.WriteFile(filepath.Join(guest, "dir", "planted"), nil, 0o644)
		_ = os.Remove(filepath.Join(guest, "dir", "planted"))
	}
	close(stop)
	swapping.Wait()
	if now := names(t, outside); now != "file" {
		t.Errorf("outside there is %s", now)
	}
	if seen == 0 {
		t.Error("the guest never got at the directory: nothing was tried")
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestVanishedDirectory(t *testing.T) {
	host, guest := shared(t, share.ReadWrite)
	write(t, filepath.Join(guest, "file"), "x")
	f, err := os.Open(filepath.Join(guest, "file"))
	must(t, err)
	defer f.Close()
	must(t, os.RemoveAll(host))
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Errorf("a file that is open: %v", err)
	}
	if err := os.WriteFile(filepath.Join(guest, "new"), nil, 0o644); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("create: %v", err)
	}
}

func TestFullDiskReachesTheWriter(t *testing.T) {
	requireRoot(t)
	host := t.TempDir()
	must(t, unix.Mount("tmpfs", host, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { _ = unix.Unmount(host, unix.MNT_DETACH) })
	dir := mounted(t, share.Mount{HostPath: host, Tag: "m", Mode: share.ReadWrite})
	file := filepath.Join(dir, "m", "file")
	wantErr(t, os.WriteFile(file, make([]byte, 2<<20), 0o644), unix.ENOSPC)
	must(t, os.Remove(file))
	must(t, os.WriteFile(file, make([]byte, 100<<10), 0o644))
}
