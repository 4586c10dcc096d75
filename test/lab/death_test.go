package lab_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/test/lab"
	"golang.org/x/sys/unix"
)

const orphanEnv = "VOIDBOX_LAB_TEST_ORPHAN"

// TestBootAndWait is no test: TestQEMUDiesWithItsParent kills it.
func TestBootAndWait(t *testing.T) {
	if os.Getenv(orphanEnv) != "1" {
		t.Skip("for TestQEMUDiesWithItsParent only")
	}
	l, err := lab.Boot(context.Background(), lab.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fmt.Println("booted")
	select {}
}

func TestQEMUDiesWithItsParent(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a machine")
	}
	testvm.Require(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self, "-test.run=^TestBootAndWait$")
	parent.Env = append(os.Environ(), orphanEnv+"=1")
	parent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	qemu := children(t, parent.Process.Pid)
	if len(qemu) != 1 {
		t.Errorf("after %q the parent has the children %v, want one", line, qemu)
	}
	var fds []int
	for _, pid := range qemu {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		fds = append(fds, fd)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	for _, fd := range fds {
		awaitEnd(t, fd)
	}
}

// awaitEnd waits until the process behind a pidfd has ended.
func awaitEnd(t *testing.T, fd int) {
	t.Helper()
	const deadline = 60_000 // ms; it takes some
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, deadline)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n != 1 {
			t.Fatalf("QEMU lives on: %d, %v", n, err)
		}
		return
	}
}

// children returns the processes that any thread of pid has started.
func children(t *testing.T, pid int) (pids []int) {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended
		}
		for _, word := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, child)
		}
	}
	return pids
}
