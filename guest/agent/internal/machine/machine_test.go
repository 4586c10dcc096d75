package machine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/boot"
)

func TestMountOptions(t *testing.T) {
	flags, data := options(boot.Mount{ReadOnly: true, Options: "size=1m,nosuid,,noexec,mode=0700"})
	if want := uintptr(unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NOEXEC); flags != want || data != "size=1m,mode=0700" {
		t.Errorf("%#x %q", flags, data)
	}
}

func TestADiskIsFoundBySerial(t *testing.T) {
	dir := t.TempDir()
	for disk, serial := range map[string]string{"vda": "first\n", "vdb": "second"} {
		if err := os.MkdirAll(filepath.Join(dir, disk), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, disk, "serial"), []byte(serial), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "loop0"), 0o755); err != nil {
		t.Fatal(err)
	}
	for serial, want := range map[string]string{"first": "/dev/vda", "second": "/dev/vdb"} {
		if got, err := findDisk(boot.Root{Serial: serial}, dir); err != nil || got != want {
			t.Errorf("%s: %q, %v", serial, got, err)
		}
	}
	_, err := findDisk(boot.Root{Serial: "third"}, dir)
	if err == nil || !strings.Contains(err.Error(), `vda "first"`) || !strings.Contains(err.Error(), `vdb "second"`) {
		t.Errorf("the error does not say what there is: %v", err)
	}
	if got, err := findDisk(boot.Root{Path: "/dev/x"}, dir); err != nil || got != "/dev/x" {
		t.Errorf("by path: %q, %v", got, err)
	}
}

func TestModulesThatFailAreAllNamed(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.ko")
	if err := os.WriteFile(broken, []byte("no module"), 0o600); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("# comment\n\n"+broken+"\n/no/such.ko\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := LoadModules(list)
	if err == nil || !strings.Contains(err.Error(), broken) || !strings.Contains(err.Error(), "/no/such.ko") {
		t.Errorf("got %v", err)
	}
	if err := LoadModules(filepath.Join(dir, "none")); err != nil {
		t.Errorf("a list that does not exist: %v", err)
	}
}

// sweep removes all that is on its own file system, follows no link, and leaves other file systems alone.
func TestSweep(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"a/b/c", "mounted", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a/b/file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": outside, "dirlink": filepath.Dir(outside)} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	kept := filepath.Join(dir, "mounted", "kept")
	mounted := unix.Mount("tmpfs", filepath.Join(dir, "mounted"), "tmpfs", 0, "") == nil
	if mounted {
		defer func() { _ = unix.Unmount(filepath.Join(dir, "mounted"), 0) }()
		if err := os.WriteFile(kept, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := sweep(f); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || mounted && len(left) != 1 || !mounted && len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if mounted {
		if _, err := os.Stat(kept); err != nil {
			t.Error("a file of another file system was removed")
		}
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error("a link was followed")
	}
}
