package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// TestHundredsOfExecsAtOnce: a reader that does not read stops its own stream, and no other.
func TestHundredsOfExecsAtOnce(t *testing.T) {
	i := install(t)
	i.run("sandbox", "create", "box", "--backend", "mock")
	lazy := i.command("exec", "box", "--", "sh", "-c", "while true; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done")
	unread, err := lazy.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := lazy.Start(); err != nil {
		t.Fatal(err)
	}
	(&transcript{TB: t, r: unread}).until("y")

	client := i.connect("box")
	var all sync.WaitGroup
	for n := range 300 {
		all.Go(func() {
			want := fmt.Sprintf("this is %d\n", n)
			var stdout bytes.Buffer
			exit, err := client.Exec(t.Context(), sandbox.Command{Args: []string{"cat"}}, sandbox.IO{Stdin: strings.NewReader(want), Stdout: &stdout})
			if err != nil || exit.Code != 0 || stdout.String() != want {
				t.Errorf("exec %d: %+v, %v, %q", n, exit, err, stdout.String())
			}
		})
	}
	all.Wait()
	if err := lazy.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = lazy.Wait()
}

// TestOutputIsExact: every byte value, and a lot of them, both ways.
func TestOutputIsExact(t *testing.T) {
	i := install(t)
	i.run("sandbox", "create", "box", "--backend", "mock")
	content := make([]byte, 24<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content) // never fails
	cmd := i.command("exec", "box", "--", "cat")
	cmd.Stdin = bytes.NewReader(content)
	got := sha256.New()
	cmd.Stdout = got
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(content); !bytes.Equal(got.Sum(nil), want[:]) {
		t.Error("what came out is not what went in")
	}
}

// TestSignalsGoToTheCommand, and the second Ctrl-C is for one that does not listen.
func TestSignalsGoToTheCommand(t *testing.T) {
	i := install(t)
	i.run("sandbox", "create", "box", "--backend", "mock")
	for _, c := range []struct {
		script  string
		signals []syscall.Signal
		want    []int
	}{
		{"echo ready; sleep 1000", []syscall.Signal{syscall.SIGTERM}, []int{128 + 15}},
		{"echo ready; sleep 1000", []syscall.Signal{syscall.SIGINT}, []int{128 + 2}},
		// The second one kills. Which of two that are pending together that is, the kernel does not promise.
		{"trap '' TERM INT; echo ready; sleep 1000", []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}, []int{128 + 2, 128 + 15}},
	} {
		cmd := i.command("exec", "box", "--", "sh", "-c", c.script)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		(&transcript{TB: t, r: stdout}).until("ready")
		for _, sig := range c.signals {
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
		}
		if got := exitStatus(cmd.Wait()); !slices.Contains(c.want, got) {
			t.Errorf("%s: %v: status %d, want one of %d", c.script, c.signals, got, c.want)
		}
	}
}

// TestShellOnATerminal: what is typed is taken, the status comes back, and of a sandbox for one shell nothing is left. More is in TestNamedVM.
func TestShellOnATerminal(t *testing.T) {
	i := install(t)
	i.run("sandbox", "create", "box", "--backend", "mock")
	for _, args := range [][]string{{"shell", "box"}, {"shell", "--backend", "mock"}} {
		cmd := i.command(args...)
		terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 100})
		if err != nil {
			t.Fatal(err)
		}
		i.raw(terminal)
		write(t, terminal, "echo $((40+2)) is it\rexit 6\r\x04") // the mock's shell begins when its input is complete
		(&transcript{TB: t, r: terminal}).until("42 is it")
		_, _ = io.Copy(io.Discard, terminal) // until nobody holds the other end, which is EIO
		if got := exitStatus(cmd.Wait()); got != 6 {
			t.Errorf("%v: status %d", args, got)
		}
		terminal.Close()
	}
	if left, _ := filepath.Glob(filepath.Join(i.tmp, "voidbox-*")); len(left) != 2 { // the named sandbox's plugin host and shim
		t.Errorf("left: %q", left)
	}
}

// raw waits until a terminal passes each key on as it is, so that what is typed means what it should.
func (i *installation) raw(terminal *os.File) {
	i.Helper()
	i.eventually("the terminal is in raw mode", func() bool {
		settings, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
		return err == nil && settings.Lflag&unix.ICANON == 0
	})
}

func write(t testing.TB, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

// TestCopyThatIsKilled leaves no half file on this side.
func TestCopyThatIsKilled(t *testing.T) {
	i := install(t)
	i.run("sandbox", "create", "box", "--backend", "mock")
	i.run("exec", "box", "--", "sh", "-c", "mkdir /tmp/t; head -c 8000000 /dev/zero > /tmp/t/a; head -c 8000000 /dev/zero > /tmp/t/b")
	to := filepath.Join(t.TempDir(), "copy")
	cmd := i.command("cp", "box:/tmp/t", to)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i.eventually("the copy begins", func() bool { entries, _ := os.ReadDir(to); return len(entries) > 0 })
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for _, name := range []string{"a", "b"} {
		if info, err := os.Stat(filepath.Join(to, name)); err == nil && info.Size() != 8000000 {
			t.Errorf("%s has %d bytes", name, info.Size())
		}
	}
}
