//go:build linux

package testnet

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/testvm"
)

// isolated names, in the environment, the test that a process was made for.
const isolated = "VOIDBOX_ISOLATED_TEST"

// Isolated tells whether this process was made by Isolate.
func Isolated() bool { return os.Getenv(isolated) != "" }

// Isolate runs the calling test once more, in a process that has network and mounts to itself, and returns false when that has
// ended: the caller returns, too. In the process that was made it returns true. Nobody needs root for it where user namespaces are
// allowed; env is added to the environment.
func Isolate(t *testing.T, env ...string) bool {
	t.Helper()
	if os.Getenv(isolated) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run="+only(t.Name()), "-test.v", "-test.timeout="+remaining(t).String())
	cmd.Env = append(append(os.Environ(), env...), isolated+"="+t.Name())
	cmd.SysProcAttr = alone()
	out, err := output(cmd)
	switch {
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC):
		if os.Getenv(testvm.RequireEnv) == "1" {
			t.Fatalf("no namespaces for a test: %v", err)
		}
		t.Skipf("no namespaces for a test: %v (with %s=1 this is a failure)", err, testvm.RequireEnv)
	case err != nil || !strings.Contains(out, "--- PASS: "+t.Name()+" "):
		t.Errorf("%v\n%s", err, out)
	default:
		t.Log(out)
	}
	return false
}

// remaining is the time that the test has, less what it takes to show where the process that was made has spent it; 0 means no limit.
func remaining(t *testing.T) time.Duration {
	deadline, ok := t.Deadline()
	if !ok {
		return 0
	}
	return max(time.Until(deadline)-10*time.Second, time.Second)
}

// output runs cmd. It dies with this test: the thread that started it is kept until it has ended.
func output(cmd *exec.Cmd) (string, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func alone() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

// only is the pattern of one test.
func only(name string) string {
	levels := strings.Split(name, "/")
	for i, level := range levels {
		levels[i] = "^" + regexp.QuoteMeta(level) + "$"
	}
	return strings.Join(levels, "/")
}
