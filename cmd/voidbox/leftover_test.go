package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

// safetyNet bounds what would otherwise wait for ever; no verdict depends on it but failure.
const safetyNet = 5 * time.Minute

// ending is how one of the runs ends: at the first event of a type it gets a signal; without a signal it runs to its end.
type ending struct {
	backend string
	at      string
	signal  syscall.Signal
}

// endings are fifty: both backends, runs to the end, cancelled and killed in each phase.
func endings() []ending {
	var all []ending
	phases := []string{"run_started", "stage_started", "sandbox_progress", "sandbox_ready", "tool_call", "tool_result", "stage_finished"}
	for i := range 40 {
		e := ending{backend: "mock", at: phases[i%len(phases)]}
		e.signal = []syscall.Signal{0, 0, syscall.SIGINT, syscall.SIGKILL}[i%4]
		all = append(all, e)
	}
	return append(all, []ending{
		{"qemu", "", 0},
		{"qemu", "sandbox_progress", syscall.SIGINT},
		{"qemu", "sandbox_progress", syscall.SIGKILL},
		{"qemu", "sandbox_ready", syscall.SIGKILL},
		{"qemu", "tool_call", syscall.SIGINT},
		{"qemu", "", 0},
		{"qemu", "tool_result", syscall.SIGKILL},
		{"qemu", "sandbox_ready", syscall.SIGINT},
		{"qemu", "stage_finished", syscall.SIGTERM},
		{"qemu", "", 0},
	}...)
}

// TestFiftyRunsLeaveNothing: no process, socket, mount or temporary file.
func TestFiftyRunsLeaveNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("fifty runs, ten of them in VMs, are too long for -short")
	}
	testvm.Require(t)
	bin := testbin.Dir(t)
	tmp, err := os.MkdirTemp("", "left") // short: sockets live below it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	file, guest := namedExample(t)
	mounts := read(t, "/proc/self/mountinfo")
	for i, e := range endings() {
		name := fmt.Sprintf("run %d on %s, signal %q at %q", i, e.backend, e.signal, e.at)
		if err := runOnce(t, bin, tmp, file, guest, e); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		waitForProcesses(t, name, bin, tmp, guest)
	}
	if left := filesBelow(t, tmp); len(left) > 0 {
		t.Errorf("temporary files are left: %q", left)
	}
	if sockets := grep(read(t, "/proc/net/unix"), tmp); sockets != "" {
		t.Errorf("sockets are left:\n%s", sockets)
	}
	if now := read(t, "/proc/self/mountinfo"); now != mounts {
		t.Errorf("mounts changed from\n%s\nto\n%s", mounts, now)
	}
}

func runOnce(t *testing.T, bin, tmp, file, guest string, e ending) error {
	cmd := exec.Command(filepath.Join(bin, "voidbox"), "run", "--json", "--var", "backend="+e.backend, file)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "XDG_RUNTIME_DIR="+tmp, "XDG_STATE_HOME="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	signalled := false
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct{ Type string }
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			return fmt.Errorf("not an event: %q", lines.Text())
		}
		if event.Type == "sandbox_ready" && e.backend == "qemu" && len(processesOf("", "", guest)) == 0 {
			return errors.New("the test cannot see the VM's process")
		}
		if e.signal != 0 && !signalled && event.Type == e.at {
			signalled = true
			if err := cmd.Process.Signal(e.signal); err != nil {
				return err
			}
		}
	}
	err = cmd.Wait()
	if e.signal == 0 && err != nil {
		return fmt.Errorf("%w\n%s", err, stderr.String())
	}
	if e.signal != 0 && !signalled {
		return fmt.Errorf("no event %q came: %v\n%s", e.at, err, stderr.String())
	}
	return nil
}

// waitForProcesses waits until no process of the installation, and no QEMU that it started, is there.
func waitForProcesses(t *testing.T, run, bin, tmp, guest string) {
	t.Helper()
	deadline := time.Now().Add(safetyNet)
	for {
		pids := processesOf(bin, tmp, guest)
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			fd, err := unix.PidfdOpen(pid, 0)
			if errors.Is(err, unix.ESRCH) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(time.Until(deadline).Milliseconds()))
			unix.Close(fd)
			if n == 0 && !errors.Is(err, unix.EINTR) {
				t.Fatalf("%s: process %d is left: %s", run, pid, read(t, fmt.Sprintf("/proc/%d/cmdline", pid)))
			}
		}
	}
}

// namedExample copies the hello example, with a sandbox whose name no other test's QEMU bears.
func namedExample(t *testing.T) (file, guest string) {
	t.Helper()
	dir, guest := t.TempDir(), fmt.Sprintf("leftover%d", os.Getpid())
	examples := filepath.Join(testbin.Root(), "examples")
	if err := os.CopyFS(filepath.Join(dir, "cassettes"), os.DirFS(filepath.Join(examples, "cassettes"))); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(`"box"`, strconv.Quote(guest), "sandbox.box", "sandbox."+guest).Replace(read(t, filepath.Join(examples, "hello.hcl")))
	file = filepath.Join(dir, "hello.hcl")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, guest
}

// processesOf finds processes that run a program of the installation, whose command line names the guest, as QEMU's does, or the
// directory of temporary files, or whose environment does. A zombie does none of these.
func processesOf(bin, tmp, guest string) []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		exe, _ := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		cmdline, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		ours := bin != "" && strings.HasPrefix(exe, bin+"/")
		named := tmp != "" && (bytes.Contains(cmdline, []byte(tmp)) || bytes.Contains(environ, []byte(tmp+"\x00")))
		if ours || named || bytes.Contains(cmdline, []byte("guest="+guest)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path != dir {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(content)
}

func grep(text, word string) string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}
