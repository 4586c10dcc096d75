//go:build linux

package jail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/internal/tap"
	"github.com/voidbox-run/voidbox/internal/testnetns"
	"github.com/voidbox-run/voidbox/link"
)

// A jail is for good, and what it forbids is death, so each probe runs in a process of its own: this test program, started again.
const probeEnv, dirEnv = "VOIDBOX_JAIL_PROBE", "VOIDBOX_JAIL_DIR"

// survived is what a probe says that could do what it tried and was not killed.
const survived = "survived"

func TestMain(m *testing.M) {
	name := os.Getenv(probeEnv)
	if name == "" {
		os.Exit(testnetns.Run(m.Run))
	}
	if err := attempt(probes[name], os.Getenv(dirEnv)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(survived)
}

// queue is the device that the plugin has when it goes to jail.
var queue *tap.Queue

func attempt(try func(dir string) error, dir string) (err error) {
	if queue, err = tap.Open(fmt.Sprintf("jail%d", os.Getpid()%100000), true); err != nil {
		return err
	}
	l, err := link.Listen(dir+"/link.sock", link.Terms{Purpose: link.Frames})
	if err != nil {
		return err
	}
	defer l.Close()
	if err := Process(dir); err != nil {
		return err
	}
	return try(dir)
}

func second[T any](_ T, err error) error { return err }

var probes = map[string]func(dir string) error{
	// what it may
	"use its device": func(string) error {
		_, err := queue.Write(link.NetHeader{}, make([]byte, 60))
		return errors.Join(err, queue.SetOffloads(link.NetFeatures), queue.SetCarrier(false), queue.SetCarrier(true), queue.Close())
	},
	"work and grow": func(string) error {
		var kept [][]byte
		for range 200 {
			kept = append(kept, make([]byte, 256<<10))
		}
		runtime.KeepAlive(kept)
		runtime.GC()
		return nil
	},
	"remove its socket": func(dir string) error { return os.RemoveAll(dir + "/left") },

	// what is refused with an error
	"open a file":    func(string) error { return second(os.ReadFile("/etc/passwd")) },
	"another device": func(string) error { return second(tap.Open("other", true)) },

	// what is death
	"keep its device": func(string) error { return queue.SetPersistent(true) },
	"execute":         func(string) error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
	"start a process": func(string) error { return second(syscall.ForkExec("/bin/true", []string{"true"}, nil)) },
	"a socket":        func(string) error { return second(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)) },
	"a unix socket":   func(string) error { return second(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)) },
	"netlink":         func(string) error { return second(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)) },
	"a packet socket": func(string) error { return second(unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)) },
	"trace":           func(string) error { return unix.PtraceAttach(os.Getppid()) },
	"a signal":        func(string) error { return unix.Kill(os.Getppid(), 0) },
	"another space":   func(string) error { return unix.Unshare(unix.CLONE_NEWNET) },
	"executable memory": func(string) error {
		return second(unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE))
	},
}

func TestJail(t *testing.T) {
	verdict := make(map[string]string)
	for name := range probes {
		verdict[name] = "killed"
	}
	for _, name := range []string{"use its device", "work and grow", "remove its socket"} {
		verdict[name] = "fine"
	}
	for _, name := range []string{"open a file", "another device"} {
		verdict[name] = "refused"
	}
	for name, want := range verdict {
		t.Run(name, func(t *testing.T) { holds(t, name, want) })
	}
}

// holds runs a probe and compares how it ended.
func holds(t *testing.T, name, want string) {
	dir, err := os.MkdirTemp("", "jail") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(dir+"/left", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a safety net: a hang is a failure
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = []string{probeEnv + "=" + name, dirEnv + "=" + dir}
	out, err := cmd.CombinedOutput()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case want == "killed" && status.Signaled() && status.Signal() == unix.SIGSYS:
	case want == "refused" && status.ExitStatus() == 1 && strings.Contains(string(out), fs.ErrPermission.Error()):
	case want == "fine" && err == nil && strings.Contains(string(out), survived):
	default:
		t.Errorf("want %s; it ended with %v: %s", want, err, out)
	}
}
