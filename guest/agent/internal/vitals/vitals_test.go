package vitals

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

func TestDescribe(t *testing.T) {
	var info sandbox.Info
	if err := Describe(&info); err != nil {
		t.Fatal(err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if info.Hostname != hostname || info.Kernel == "" || info.Architecture == "" || info.CPUs < 1 || info.MemoryBytes == 0 || info.Uptime <= 0 {
		t.Errorf("%+v", info)
	}
	if !slices.ContainsFunc(info.Mounts, func(m sandbox.Mount) bool { return m.Target == "/proc" && m.Type == "proc" }) {
		t.Errorf("mounts without /proc: %+v", info.Mounts)
	}
}

func TestMeasure(t *testing.T) {
	m, err := Measure()
	if err != nil {
		t.Fatal(err)
	}
	if m.CPUTime <= 0 || m.MemoryAvailableBytes == 0 || m.MemoryAvailableBytes > m.MemoryTotalBytes || m.Processes < 1 ||
		m.DiskTotalBytes == 0 || m.DiskFreeBytes > m.DiskTotalBytes {
		t.Errorf("%+v", m)
	}
}

func TestMountTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mounts")
	table := "work /with\\040space virtiofs rw,relatime 0 0\n/dev/vda / erofs ro,nosuid 0 0\nshort line\n"
	if err := os.WriteFile(file, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Mounts(file)
	want := []sandbox.Mount{
		{Source: "work", Target: "/with space", Type: "virtiofs"},
		{Source: "/dev/vda", Target: "/", Type: "erofs", ReadOnly: true},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDescendants(t *testing.T) {
	if !slices.Contains(Descendants(os.Getppid()), os.Getpid()) {
		t.Error("this process is not below its parent")
	}
	if slices.Contains(Descendants(os.Getpid()), os.Getpid()) {
		t.Error("this process is below itself")
	}
}
