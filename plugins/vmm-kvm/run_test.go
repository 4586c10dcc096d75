package main_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/test/lab"
)

// TestHelloRuns runs the first example as a user does, with all plugins in processes of their own.
func TestHelloRuns(t *testing.T) {
	lab.RequireKVM(t)
	runHello(t, nil)
}

// TestHelloRunsForAnOrdinaryUser is the same for somebody whose only privilege is the group of /dev/kvm.
func TestHelloRunsForAnOrdinaryUser(t *testing.T) {
	lab.RequireKVM(t)
	if !lab.Inside() {
		t.Skip("the device belongs to others too; whoever runs the tests without root has run this one")
	}
	const user, group = 1000, 4242
	if err := errors.Join(os.Chown("/dev/kvm", 0, group), os.Chmod("/dev/kvm", 0o660)); err != nil {
		t.Fatal(err)
	}
	runHello(t, &syscall.Credential{Uid: user, Gid: user, Groups: []uint32{group}})
}

// runHello runs the example as the user, nil for whoever runs the test.
func runHello(t *testing.T, user *syscall.Credential) {
	dir := helloDir(t)
	cmd := exec.CommandContext(t.Context(), lab.Path(t, programs+"/voidbox"), "run", "--var", "backend=kvm", filepath.Join(dir, "hello.hcl"))
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "TMPDIR=/tmp", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	if user != nil {
		if err := os.Chown(dir, int(user.Uid), int(user.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "/tmp/hello.txt says: Hello from box!") || !strings.Contains(string(out), "kvm") {
		t.Errorf("%v:\n%s", err, out)
	}
}

// helloDir makes a directory with the example. The lab has no cache, hence kernel and initramfs by name; the rest is as it is.
func helloDir(t *testing.T) string {
	t.Helper()
	hello, err := os.ReadFile(lab.Path(t, examples+"/hello.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	const image = `image   = "base"`
	if !strings.Contains(string(hello), image) {
		t.Fatal("the example names no image any more")
	}
	own := image + "\n  kernel = \"" + lab.Path(t, lab.GuestKernel) + "\"\n  initrd = \"" + lab.Path(t, lab.GuestInitrd) + `"`
	dir := shortDir(t) // one that every user can reach, unlike those of t.TempDir
	err = os.WriteFile(filepath.Join(dir, "hello.hcl"), []byte(strings.Replace(string(hello), image, own, 1)), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(lab.Path(t, examples+"/cassettes"), filepath.Join(dir, "cassettes")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// TestKilledMonitorLeavesNothing kills the monitor of a VM that runs. There is no other process, and the host cleans up behind it.
func TestKilledMonitorLeavesNothing(t *testing.T) {
	lab.RequireKVM(t)
	s, p := boot(t, sandbox.Spec{})
	pid := p.PID()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Exited()
	<-s.Stopped()
	if s.Err() == nil {
		t.Error("the sandbox does not say that it has ended")
	}
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("the process is still there: %v", err)
	}
	_ = s.Close(context.Background())
	_ = p.Close(context.Background())
	if _, err := os.Stat(p.RuntimeDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory is still there: %v", err)
	}
}
