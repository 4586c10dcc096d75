package lab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/test/lab"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(lab.Tests(m)) }

// boot boots a lab for one test, which must run on the host.
func boot(t *testing.T, cfg lab.Config) *lab.Lab {
	t.Helper()
	l, err := tryBoot(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func tryBoot(t *testing.T, cfg lab.Config) (*lab.Lab, error) {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a machine")
	}
	testvm.Require(t)
	cfg.Log = func(s string) { t.Log(s) }
	return lab.Boot(t.Context(), cfg)
}

func run(t *testing.T, l *lab.Lab, script string) (stdout, stderr string, status lab.Status) {
	t.Helper()
	var out, errs bytes.Buffer
	status, err := l.Run(t.Context(), lab.Command{Args: []string{"sh", "-c", script}, Stdout: &out, Stderr: &errs})
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), status
}

func TestCommands(t *testing.T) {
	dir := t.TempDir()
	given := make([]byte, 300_000)
	for i := range given {
		given[i] = byte(i * i >> 3)
	}
	if err := os.WriteFile(filepath.Join(dir, "given"), given, 0o755); err != nil {
		t.Fatal(err)
	}
	l := boot(t, lab.Config{Files: []lab.File{{Host: filepath.Join(dir, "given")}, {Host: dir, Guest: "/opt/dir"}}})

	t.Run("exit status", func(t *testing.T) {
		if _, _, status := run(t, l, "exit 42"); status != (lab.Status{Code: 42}) {
			t.Errorf("%+v", status)
		}
		want := lab.Status{Code: 128 + 9, Signal: syscall.SIGKILL}
		if _, _, status := run(t, l, "kill -9 $$"); status != want {
			t.Errorf("%+v, want %+v", status, want)
		}
	})
	t.Run("no such command", func(t *testing.T) {
		_, err := l.Run(t.Context(), lab.Command{Args: []string{"nonesuch"}})
		var start *lab.StartError
		if !errors.As(err, &start) || start.Command != "nonesuch" {
			t.Errorf("%v, want a StartError", err)
		}
	})
	t.Run("streams are separate and exact", func(t *testing.T) {
		stdout, stderr, _ := run(t, l, "cat given; printf 'e\\r\\n\\0' >&2")
		if stdout != string(given) {
			t.Errorf("%d bytes of output are not the %d bytes of the file", len(stdout), len(given))
		}
		if stderr != "e\r\n\x00" {
			t.Errorf("errors %q", stderr)
		}
	})
	t.Run("files", func(t *testing.T) {
		if _, stderr, status := run(t, l, "cmp given /opt/dir/given && test -x given && cp given /tmp/back"); status.Code != 0 {
			t.Fatalf("%+v %s", status, stderr)
		}
		var back bytes.Buffer
		if err := l.Fetch(t.Context(), "/tmp/back", &back); err != nil || !bytes.Equal(back.Bytes(), given) {
			t.Errorf("fetched %d bytes, %v", back.Len(), err)
		}
		if err := l.Fetch(t.Context(), "/nonesuch", &back); err == nil || !strings.Contains(err.Error(), "/nonesuch") {
			t.Errorf("fetching nothing: %v", err)
		}
	})
	t.Run("input", func(t *testing.T) {
		var out bytes.Buffer
		s, err := l.Start(t.Context(), lab.Command{Args: []string{"tr", "a-z", "A-Z"}, Stdout: &out})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(s, "hello")
		_ = s.CloseInput()
		if status, err := s.Wait(); err != nil || status.Code != 0 || out.String() != "HELLO" {
			t.Errorf("%+v %v %q", status, err, out.String())
		}
	})
	t.Run("terminal", func(t *testing.T) {
		var out bytes.Buffer
		s, err := l.Start(t.Context(), lab.Command{Args: []string{"sh", "-c", "tty; stty size"}, Stdout: &out, Terminal: true, Rows: 7, Columns: 77})
		if err != nil {
			t.Fatal(err)
		}
		if status, err := s.Wait(); err != nil || status.Code != 0 || out.String() != "/dev/pts/0\r\n7 77\r\n" {
			t.Errorf("%+v %v %q", status, err, out.String())
		}
	})
	t.Run("a daemon does not outlive its command", func(t *testing.T) {
		run(t, l, "sleep 1000 &")
		if stdout, _, _ := run(t, l, "pidof sleep"); stdout != "" {
			t.Errorf("sleep runs as %s", stdout)
		}
	})
	t.Run("orphans are reaped", func(t *testing.T) {
		// The shell's child dies as an orphan; a zombie would stay in /proc.
		script := "sh -c '(echo $BASHPID; exec sh -c \"echo \\$\\$ > /tmp/orphan; read x < /tmp/fifo\") &' ; "
		script = "mkfifo /tmp/fifo; " + script + "while ! [ -s /tmp/orphan ]; do :; done; echo > /tmp/fifo; while [ -d /proc/$(cat /tmp/orphan) ]; do :; done"
		if _, stderr, status := run(t, l, script); status.Code != 0 {
			t.Errorf("%+v %s", status, stderr)
		}
	})
	t.Run("devices", func(t *testing.T) {
		if stdout, stderr, _ := run(t, l, "stat -c '%F' /dev/kvm /dev/vhost-vsock | sort -u"); stdout != "character special file\n" {
			t.Errorf("%q %q", stdout, stderr)
		}
	})
	t.Run("a panic shows the console", func(t *testing.T) {
		// A Go program that gets SIGQUIT ends, and without PID 1 no kernel goes on.
		_, err := l.Run(t.Context(), lab.Command{Args: []string{"sh", "-c", "kill -QUIT 1; sleep 1000"}})
		var crash *lab.CrashError
		if !errors.As(err, &crash) || !strings.Contains(err.Error(), "Attempted to kill init") {
			t.Errorf("%v, want a CrashError with the kernel's last words", err)
		}
	})
}

// An emulated machine on a busy host cannot measure its clock; it has to be told how fast that is.
func TestClockRunsAsTheHosts(t *testing.T) {
	l := boot(t, lab.Config{})
	first := readClock(t, l)
	last := first
	for last.before.Sub(first.after) < 2*time.Second {
		last = readClock(t, l)
	}
	const tolerance = 20 * time.Millisecond // /proc/uptime counts hundredths
	passed := last.uptime - first.uptime
	if least, most := last.before.Sub(first.after), last.after.Sub(first.before); passed < least-tolerance || passed > most+tolerance {
		t.Errorf("in the lab %v went by, on the host between %v and %v", passed, least, most)
	}
}

// clock is the lab's time, and the host's before and after it was read.
type clock struct {
	before, after time.Time
	uptime        time.Duration
}

func readClock(t *testing.T, l *lab.Lab) clock {
	t.Helper()
	c := clock{before: time.Now()}
	stdout, stderr, _ := run(t, l, "cat /proc/uptime")
	c.after = time.Now()
	seconds, err := strconv.ParseFloat(strings.Fields(stdout + " ?")[0], 64)
	if err != nil {
		t.Fatalf("uptime %q: %v %s", stdout, err, stderr)
	}
	c.uptime = time.Duration(seconds * float64(time.Second))
	return c
}

func TestCancelKillsTheLab(t *testing.T) {
	l := boot(t, lab.Config{})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	out := writerFunc(func(p []byte) (int, error) { cancel(why); return len(p), nil })
	if _, err := l.Run(ctx, lab.Command{Args: []string{"sh", "-c", "echo; exec sleep 1000"}, Stdout: out}); !errors.Is(err, why) {
		t.Errorf("%v, want the cause %v", err, why)
	}
}

// A machine whose only processor does nothing but loop sends no sign of life. Its kernel is made to say so.
func TestHungGuestShowsItsConsole(t *testing.T) {
	l := boot(t, lab.Config{Silence: 8 * time.Second, CPUs: 1})
	// The test binary is the lab's /init, too.
	_, err := l.Run(t.Context(), lab.Command{Args: []string{"/init", "-test.run=^TestOccupyTheProcessor$"}, Env: []string{occupyEnv + "=1"}})
	var hang *lab.HangError
	if !errors.As(err, &hang) {
		t.Fatalf("%v, want a HangError", err)
	}
	if !strings.Contains(err.Error(), "NMI") {
		t.Errorf("the kernel does not say where it hangs: %v", err)
	}
}

// The kernel drops without a word what does not fit.
func TestFilesThatDoNotFitAreRefused(t *testing.T) {
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 200<<20); err != nil {
		t.Fatal(err)
	}
	_, err := tryBoot(t, lab.Config{MemoryMiB: 512, Files: []lab.File{{Host: large}}})
	if err == nil || !strings.Contains(err.Error(), "MiB of memory") {
		t.Errorf("%v", err)
	}
}

func TestKernelThatCannotBootShowsTheReason(t *testing.T) {
	testvm.Require(t)
	file := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(file, []byte("not a kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tryBoot(t, lab.Config{Kernel: file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%v", err)
	}
}

func TestMissingQEMUSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := lab.Boot(t.Context(), lab.Config{})
	var missing *lab.MissingError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "sudo apt-get install qemu-system-x86") {
		t.Errorf("%v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
