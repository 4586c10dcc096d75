package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/voidbox-run/voidbox/core/shim"
	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/tree"
)

// awaitOutput runs a command until it has written text, which must be the first that it writes.
func awaitOutput(t *testing.T, cmd *exec.Cmd, text string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(out, got); err != nil || string(got) != text {
		t.Errorf("%s: %q, %v", cmd, got, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
}

// TestNamedVM works in one VM as a user does.
func TestNamedVM(t *testing.T) {
	testvm.Require(t)
	i := install(t)
	name := fmt.Sprintf("named%d", os.Getpid())
	i.run("sandbox", "create", name, "--backend", "qemu", "--cpus", "2", "--memory", "256MiB", "--", "sh", "-c", "echo main speaks; sleep 1000000")

	t.Run("what it is", func(t *testing.T) {
		info := i.run("info", name)
		for _, line := range []string{`kernel +\d+\.\d+`, "hostname +" + name, "cpus +2", `memory +2\d\d MB \(\d+ bytes\)`, `mount +/proc`, "image +base"} {
			if !regexp.MustCompile("(?m)^" + line).MatchString(info) {
				t.Errorf("no line %q in\n%s", line, info)
			}
		}
		awaitOutput(t, i.command("logs", "--follow", name), "main speaks\n")
		if logs := i.run("logs", name); logs != "main speaks\n" {
			t.Errorf("logs: %q", logs)
		}
		if stats := i.run("stats", "--json"); !strings.Contains(stats, `"memory_total_bytes"`) || !strings.Contains(stats, name) {
			t.Errorf("stats: %s", stats)
		}
		if console := i.run("logs", "--console", name); !strings.Contains(console, "Linux version") && !strings.Contains(console, "voidbox") {
			t.Errorf("console: %q", console)
		}
	})
	t.Run("statuses are those of shells", func(t *testing.T) {
		for args, want := range map[string]int{
			"exit 9": 9, "kill -KILL $$": 137, "no-such-program": 127, "/tmp": 126, "/etc/passwd": 126,
		} {
			if got := exitStatus(i.command("exec", name, "--", "sh", "-c", args).Run()); got != want {
				t.Errorf("sh -c %q: status %d, want %d", args, got, want)
			}
		}
		for program, want := range map[string]int{"no-such-program": 127, "/tmp": 126, "/etc/passwd": 126} {
			if got := exitStatus(i.command("exec", name, program).Run()); got != want {
				t.Errorf("%s: status %d, want %d", program, got, want)
			}
		}
		if got := exitStatus(i.command("exec", "--timeout", "200ms", name, "--", "sh", "-c", "trap '' TERM; sleep 1000").Run()); got != exitTimedOut {
			t.Errorf("after the timeout: %d", got)
		}
	})
	t.Run("a tree there and back", func(t *testing.T) {
		from, to := filepath.Join(testbin.Root(), "docs"), filepath.Join(t.TempDir(), "docs")
		i.run("cp", from, name+":/tmp")
		if owner := i.run("exec", name, "--", "stat", "-c", "%U", "/tmp/docs/cli.md"); owner != "sandbox\n" {
			t.Errorf("it belongs to %q", owner)
		}
		i.run("cp", name+":/tmp/docs", to)
		if a, b := read(t, filepath.Join(from, "cli.md")), read(t, filepath.Join(to, "cli.md")); a == "" || a != b {
			t.Error("the copy is another")
		}
	})
	t.Run("terminal", func(t *testing.T) { terminalInVM(t, i, name) })
	t.Run("terminal vanishes", func(t *testing.T) { terminalVanishes(t, i, name) })
	t.Run("copy is killed", func(t *testing.T) { copyIsKilled(t, i, name) })
	t.Run("holder is killed", func(t *testing.T) {
		b, err := i.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(processesOf("", "", name)) == 0 {
			t.Fatal("the test cannot see the VM's process")
		}
		if err := syscall.Kill(b.Instance.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		waitForProcesses(t, "holder killed", i.bin, i.tmp, name)
		if got := i.run("sandbox", "list"); !regexp.MustCompile(name + " +dead").MatchString(got) {
			t.Errorf("list:\n%s", got)
		}
		i.run("sandbox", "remove", name)
	})
}

// terminalInVM drives a shell as a person does: resize, job control, Ctrl-C, status.
func terminalInVM(t *testing.T, i *installation, name string) {
	cmd := i.command("shell", name)
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	i.raw(terminal)
	screen := &transcript{TB: t, r: terminal}
	write(t, terminal, "stty size; echo $TERM\r")
	screen.until("30 100")
	screen.until("xterm-256color")
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 11, Cols: 77}); err != nil {
		t.Fatal(err)
	}
	write(t, terminal, "until test \"$(stty size)\" = '11 77'; do sleep 0.1; done; echo resi''zed\r")
	screen.until("resized")
	write(t, terminal, "sh -c 'echo run\"\"ning; exec sleep 100000'\r")
	screen.until("running")
	write(t, terminal, "\x1a")
	screen.until("Stopped")
	write(t, terminal, "kill -9 %1; sh -c 'echo fore\"\"ground; exec sleep 100000'\r")
	screen.until("foreground")
	write(t, terminal, "\x03")
	write(t, terminal, "echo st''ill here: $?\r")
	screen.until("still here: 130")
	write(t, terminal, "exit 4\r")
	_, _ = io.Copy(io.Discard, terminal)
	if got := exitStatus(cmd.Wait()); got != 4 {
		t.Errorf("status %d", got)
	}
}

// terminalVanishes: what runs in it ends, even if it ignores SIGHUP.
func terminalVanishes(t *testing.T, i *installation, name string) {
	client := i.connect(name)
	for _, script := range []string{"echo pid $$; sleep 100000", "trap '' HUP; echo pid $$; while true; do sleep 1; done"} {
		cmd := i.command("exec", name, "--", "sh", "-c", script)
		terminal, err := pty.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		screen := &transcript{TB: t, r: terminal}
		screen.until("pid ")
		pid := screen.until("\r")
		terminal.Close()
		if err := cmd.Wait(); err == nil {
			t.Errorf("%s: status 0", script)
		}
		i.eventually("the command is gone", func() bool {
			exit, err := client.Exec(t.Context(), sandbox.Command{Args: []string{"test", "-d", "/proc/" + pid}}, sandbox.IO{})
			return err == nil && exit.Code == 1
		})
	}
}

// copyIsKilled: there is never half a file under its final name, and the half under another one goes.
func copyIsKilled(t *testing.T, i *installation, name string) {
	client := i.connect(name)
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, bytes.Repeat([]byte("half a file "), 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := i.command("cp", big, name+":/workspace/big")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	halves := func() int {
		list, err := client.ListDir(t.Context(), "/workspace")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range list {
			if strings.HasPrefix(f.Name, tree.Temporary) {
				n++
			}
		}
		return n
	}
	i.eventually("the copy begins", func() bool { return halves() == 1 })
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	i.eventually("the half is gone", func() bool { return halves() == 0 })
	if _, err := client.Stat(t.Context(), "/workspace/big", false); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("the file: %v", err)
	}
}

// TestCreateIsInterrupted: Ctrl-C leaves nothing; a CLI that is killed leaves a sandbox that is found.
func TestCreateIsInterrupted(t *testing.T) {
	testvm.Require(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		i := install(t)
		name := fmt.Sprintf("cut%d", os.Getpid())
		cmd := i.command("sandbox", "create", name, "--backend", "qemu")
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		(&transcript{TB: t, r: stderr}).until("booting the kernel")
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, stderr)
		status := exitStatus(cmd.Wait())
		if sig == syscall.SIGINT {
			waitForProcesses(t, "create interrupted", i.bin, i.tmp, name)
			if status != exitCancelled || i.state(name) != "" || len(filesBelow(t, i.tmp)) > 0 {
				t.Errorf("status %d, state %q, left %q", status, i.state(name), filesBelow(t, i.tmp))
			}
			continue
		}
		i.eventually("it runs", func() bool { return i.state(name) == shim.Running })
		if got := i.run("exec", name, "--", "echo", "found"); got != "found\n" {
			t.Errorf("%q", got)
		}
		i.run("sandbox", "remove", "--force", name)
		waitForProcesses(t, "removed", i.bin, i.tmp, name)
	}
}
