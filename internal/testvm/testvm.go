package testvm

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/voidbox-run/voidbox/core/image"
)

// RequireEnv names the environment variable that turns missing means into failures when it is "1".
const RequireEnv = "VOIDBOX_REQUIRE_VM"

// Means is what a VM can be made of.
type Means struct {
	QEMU   string // path of qemu-system-x86_64
	Cache  *image.Cache
	Kernel image.Kernel
}

// Require returns the means to run a VM, or ends the test: as skipped, or as failed where [RequireEnv] demands VMs.
func Require(t testing.TB) Means {
	t.Helper()
	means, err := findMeans(t)
	if err != nil {
		Missing(t, "no VM can run here: %v", err)
	}
	return means
}

func findMeans(t testing.TB) (m Means, err error) {
	if m.QEMU, err = tool("qemu-system-x86_64", "qemu-system-x86"); err != nil {
		return m, err
	}
	if m.Cache, err = image.OpenCache(""); err != nil {
		return m, err
	}
	m.Kernel, err = m.Cache.Kernel(image.WithProgress(t.Context(), func(s string) { t.Log(s) }), image.KernelRequest{})
	return m, err
}

// Missing ends the test for want of something that VMs need: as skipped, or as failed where [RequireEnv] demands VMs.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv(RequireEnv) == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format+" (with "+RequireEnv+"=1 this is a failure)", args...)
}

// toolError says which program is missing, and how to get it.
type toolError struct {
	name, pkg string
	err       error
}

func (e *toolError) Error() string {
	return e.name + " is missing (" + e.err.Error() + "); install it with: sudo apt-get install " + e.pkg
}

func (e *toolError) Unwrap() error { return e.err }

// tool finds a program that pkg installs, also where the search path of plain users does not lead.
func tool(name, pkg string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", &toolError{name, pkg, err}
}

// Agent builds the guest agent from this tree and returns its path, which is good until the test ends. A failure to
// build is a failure of the test, not a missing means.
func Agent(t testing.TB) string {
	t.Helper()
	return Build(t, "github.com/voidbox-run/voidbox/guest/agent", image.AgentName)
}

// Build builds the package pkg as a static program for the guest, under the given file name, in a directory of the
// test's own. Go's build cache makes all but the first call cheap.
func Build(t testing.TB, pkg, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-tags=grpcnotrace", "-ldflags=-s -w", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return path
}
