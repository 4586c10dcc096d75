package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

func mustKernel(t *testing.T) string { return testvm.Require(t).Kernel.Path }

// qemuOf finds the QEMU that a plugin has started.
func qemuOf(t *testing.T, plugin int) int {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", plugin))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lists {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(word)
			if err == nil && strings.HasPrefix(comm(pid), "qemu-system") {
				return pid
			}
		}
	}
	t.Fatalf("plugin %d has no QEMU", plugin)
	return 0
}

func comm(pid int) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return string(data)
}

// awaitDeath waits until a process has ended and returns how long that took.
func awaitDeath(t *testing.T, pidfd int) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 10_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			t.Fatalf("the process lives on: %v", err)
		}
		return time.Since(start)
	}
}

func TestKilledPluginTakesItsVMAlong(t *testing.T) {
	s, plugin := boot(t, sandbox.Spec{})
	qemu := qemuOf(t, plugin.PID())
	pidfd, err := unix.PidfdOpen(qemu, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	if err := unix.Kill(plugin.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Logf("QEMU was gone %v after its plugin", awaitDeath(t, pidfd))
	<-s.Stopped()
	if err := s.Err(); !errors.Is(err, sandbox.ErrStopped) || !strings.Contains(err.Error(), "monitor is gone") {
		t.Errorf("error = %v", err)
	}
	if _, err := s.Info(t.Context()); err == nil {
		t.Error("a dead VM answers")
	}
	closeVM(t, s)
	nothingLeft(t, filepath.Dir(s.SocketPath()))
}

func TestKilledQEMUIsAnErrorOfTheVM(t *testing.T) {
	s, plugin := boot(t, sandbox.Spec{})
	if err := unix.Kill(qemuOf(t, plugin.PID()), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.Stopped()
	if err := s.Err(); !errors.Is(err, sandbox.ErrStopped) || !strings.Contains(err.Error(), "QEMU ended unexpectedly: signal: killed") {
		t.Errorf("error = %v", err)
	}
	closeVM(t, s)
}

func TestBothProcessesAreConfined(t *testing.T) {
	_, plugin := boot(t, sandbox.Spec{})
	for name, pid := range map[string]int{"plugin": plugin.PID(), "QEMU": qemuOf(t, plugin.PID())} {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil || len(tasks) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		for _, path := range tasks {
			status, err := os.ReadFile(path)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
				continue // the thread has ended
			}
			for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
				if !strings.Contains(string(status), want) {
					t.Errorf("%s: %s lacks %q", name, path, want)
				}
			}
		}
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", qemuOf(t, plugin.PID())))
	if err != nil || len(env) != 0 {
		t.Errorf("QEMU has an environment: %q, %v", env, err)
	}
}

func TestGuestThatPowersOffIsSeen(t *testing.T) {
	s, _ := boot(t, sandbox.Spec{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := s.Shutdown(ctx, time.Second); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Stopped():
	case <-ctx.Done():
		t.Fatal("the guest did not power off")
	}
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "powered itself off") {
		t.Errorf("error = %v", err)
	}
}
