package testvm

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// recorder stands in for a test, to see how missing ends it.
type recorder struct {
	testing.TB
	verdict string
}

func (r *recorder) Helper() {}
func (r *recorder) Skipf(format string, args ...any) {
	r.verdict = "skip: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.verdict = "fail: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func verdict(t *testing.T, f func(testing.TB)) string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.verdict
}

func TestMissingMeansAreSaidOrFail(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("VOIDBOX_CACHE_DIR", t.TempDir())
	for require, want := range map[string]string{"": "skip: ", "0": "skip: ", "1": "fail: "} {
		t.Setenv(RequireEnv, require)
		got := verdict(t, func(tb testing.TB) { Require(tb) })
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s=%q: %q, want %q", RequireEnv, require, got, want)
		}
		if !strings.Contains(got, "sudo apt-get install qemu-system-x86") {
			t.Errorf("%q names no remedy", got)
		}
	}
}

func TestDiskHoldsWhatTestsUse(t *testing.T) {
	disk := Disk(t)
	debugfs, err := tool("debugfs", "e2fsprogs")
	if err != nil {
		Missing(t, "%v", err)
	}
	for _, path := range []string{
		"/usr/bin/bash", "/usr/bin/python3", "/usr/bin/git", "/usr/bin/curl", "/usr/bin/fio", "/usr/bin/iperf3", "/usr/bin/stress-ng",
		"/etc/ssl/certs/ca-certificates.crt",
	} {
		if out := stat(t, debugfs, disk, path); !strings.Contains(out, "Inode:") {
			t.Errorf("%s is not on the disk: %s", path, out)
		}
	}
	for _, path := range []string{"/workspace", "/home/sandbox"} {
		if out := stat(t, debugfs, disk, path); !strings.Contains(out, "User:  1000") {
			t.Errorf("%s does not belong to the sandbox user: %s", path, out)
		}
	}
}

func stat(t *testing.T, debugfs, disk, path string) string {
	t.Helper()
	out, err := exec.Command(debugfs, "-R", "stat "+path, disk).CombinedOutput()
	if err != nil {
		t.Fatalf("debugfs: %v: %s", err, out)
	}
	return string(out)
}
