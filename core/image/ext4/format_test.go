package ext4

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

func format(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Format(f, size, [16]byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	return path
}

// The file system's own checker finds nothing to say, of the smallest and of one whose table of groups has several blocks.
func TestCheckerIsContent(t *testing.T) {
	tool, err := exec.LookPath("e2fsck")
	if err != nil {
		tool = "/usr/sbin/e2fsck"
	}
	if _, err := os.Stat(tool); err != nil {
		if os.Getenv("VOIDBOX_REQUIRE_VM") == "1" {
			t.Fatal("e2fsck is missing: install e2fsprogs")
		}
		t.Skip("e2fsck is missing: install e2fsprogs")
	}
	for _, size := range []int64{Group, Group + 1, 10 * Group, 300 * Group} {
		out, err := exec.CommandContext(t.Context(), tool, "-f", "-n", format(t, size)).CombinedOutput()
		if err != nil {
			t.Errorf("%d bytes: %v\n%s", size, err, out)
		}
	}
}

func TestItTakesNoRoom(t *testing.T) {
	info, err := os.Stat(format(t, 100<<30))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != 100<<30 {
		t.Errorf("size %d", info.Size())
	}
	if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used > 16<<20 {
		t.Errorf("100 GiB of nothing take %d bytes", used)
	}
}

func TestSizesThatCannotBe(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int64{0, -1, Group - 1, MaxSize + 1} {
		if err := Format(f, size, [16]byte{}); err == nil {
			t.Errorf("%d bytes: no error", size)
		}
	}
}
