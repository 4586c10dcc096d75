package jail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/hostsock"
)

// A jail is for good, and what it forbids is death, so each probe runs in a process of its own: this test program, started again.
const probeEnv, dirEnv = "VOIDBOX_JAIL_PROBE", "VOIDBOX_JAIL_DIR"

// survived is what a probe says that could do what it tried and was not killed.
const survived = "survived"

func TestMain(m *testing.M) {
	name := os.Getenv(probeEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := attempt(probes[name], os.Getenv(dirEnv)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(survived)
}

func attempt(try func(dir string) error, dir string) error {
	time.Sleep(time.Nanosecond) // the runtime makes its poller when it first needs one, which a plugin's gRPC server has done
	if err := Process(Grants{Dirs: []string{dir}}); err != nil {
		return err
	}
	return try(dir)
}

func second[T any](_ T, err error) error { return err }

var probes = map[string]func(dir string) error{
	// what it may
	"dial and publish": dialAndPublish,
	"datagrams": func(string) error {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		return conn.Close()
	},
	"a unix service": func(dir string) error {
		if err := second(hostsock.DialUnix(dir + "/nobody")); !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("dial: %w", err)
		}
		return nil
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
	"open a file":  func(string) error { return second(os.ReadFile("/etc/passwd")) },
	"write a file": func(dir string) error { return second(os.Create(dir + "/x")) },

	// what is death
	"execute":                func(string) error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
	"start a process":        func(string) error { return second(syscall.ForkExec("/bin/true", []string{"true"}, nil)) },
	"a raw socket":           func(string) error { return second(unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)) },
	"a packet socket":        func(string) error { return second(unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)) },
	"a socketpair":           func(string) error { return second(unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)) },
	"a netlink socket":       func(string) error { return second(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)) },
	"a vsock socket":         func(string) error { return second(unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)) },
	"trace":                  func(string) error { return unix.PtraceAttach(os.Getppid()) },
	"signal another process": func(string) error { return unix.Kill(os.Getppid(), 0) },
	"executable memory": func(string) error {
		return second(unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE))
	},
	"another ioctl": func(string) error { return unix.IoctlSetInt(0, unix.TIOCSTI, 0) },
	"unshare":       func(string) error { return unix.Unshare(unix.CLONE_NEWUSER) },
}

// dialAndPublish makes a listener and connects to it.
func dialAndPublish(string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	return errors.Join(conn.Close(), l.Close())
}

func TestJail(t *testing.T) {
	may := []string{"dial and publish", "datagrams", "a unix service", "work and grow", "remove its socket"}
	refused := []string{"open a file", "write a file"}
	verdict := make(map[string]string)
	for name := range probes {
		verdict[name] = "killed"
	}
	for _, name := range may {
		verdict[name] = "fine"
	}
	for _, name := range refused {
		verdict[name] = "refused"
	}
	for name, want := range verdict {
		t.Run(name, func(t *testing.T) { hold(t, name, want) })
	}
}

// hold runs a probe and compares how it ended.
func hold(t *testing.T, name, want string) {
	t.Parallel()
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
