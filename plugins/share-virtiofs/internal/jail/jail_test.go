//go:build linux && amd64

package jail

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// place is what a probe has: descriptors of what is shared, and the directory around it.
type place struct {
	dir    string
	rw, ro int
}

func attempt(try func(place) error, dir string) error {
	time.Sleep(time.Nanosecond) // the runtime makes its poller when it first needs one, which a plugin's gRPC server has done
	p := place{dir: dir}
	for name, fd := range map[string]*int{"rw": &p.rw, "ro": &p.ro} {
		var err error
		if *fd, err = unix.Open(filepath.Join(dir, name), unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
	}
	if err := Process(Grants{Sockets: []string{filepath.Join(dir, "own")}, Read: []int{p.ro}, Write: []int{p.rw}, Files: 1024}); err != nil {
		return err
	}
	return try(p)
}

func second[T any](_ T, err error) error { return err }

// create makes a file below a descriptor.
func create(dir int, name string) error {
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{Flags: unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY, Mode: 0o644, Resolve: unix.RESOLVE_BENEATH})
	if err != nil {
		return err
	}
	return errors.Join(second(unix.Pwrite(fd, []byte("x"), 0)), unix.Close(fd))
}

func reopen(dir int, name string, flags int) error {
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_BENEATH})
	if err != nil {
		return err
	}
	return second(unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), flags, 0))
}

var probes = map[string]func(p place) error{
	// what it may
	"read":  func(p place) error { return reopen(p.ro, "file", unix.O_RDONLY) },
	"write": func(p place) error { return reopen(p.rw, "file", unix.O_RDWR) },
	"make":  func(p place) error { return create(p.rw, "new") },
	"make and move": func(p place) error {
		return errors.Join(unix.Mkdirat(p.rw, "d", 0o755), create(p.rw, "new"), unix.Renameat2(p.rw, "new", p.rw, "d", unix.RENAME_EXCHANGE),
			unix.Symlinkat("/etc/passwd", p.rw, "link"), unix.Unlinkat(p.rw, "link", 0))
	},
	"attributes": func(p place) error {
		return unix.Setxattr(fmt.Sprintf("/proc/self/fd/%d", p.rw), "user.x", []byte("1"), 0)
	},
	"chmod":             func(p place) error { return unix.Fchmodat(p.rw, "file", 0o600, 0) },
	"remove its socket": func(p place) error { return os.RemoveAll(p.dir + "/own/left") },
	"work and grow": func(place) error {
		var kept [][]byte
		for range 200 {
			kept = append(kept, make([]byte, 256<<10))
		}
		runtime.KeepAlive(kept)
		runtime.GC()
		return nil
	},

	// what is refused with an error
	"open a file":             func(place) error { return second(os.ReadFile("/etc/passwd")) },
	"open a file beside":      func(p place) error { return second(os.ReadFile(p.dir + "/secret")) },
	"write to what is read":   func(p place) error { return reopen(p.ro, "file", unix.O_RDWR) },
	"make in what is read":    func(p place) error { return create(p.ro, "new") },
	"move out":                func(p place) error { return unix.Renameat2(p.rw, "file", p.ro, "file2", 0) },
	"link out":                func(p place) error { return unix.Linkat(p.rw, "file", p.ro, "file2", 0) },
	"look through a link":     func(p place) error { return second(os.ReadFile(p.dir + "/rw/out")) },
	"another process's files": func(place) error { return second(os.Open(fmt.Sprintf("/proc/%d/root", os.Getppid()))) },

	// what kills
	"execute":               func(place) error { return unix.Exec("/bin/true", []string{"true"}, nil) },
	"start a process":       func(place) error { return second(syscall.ForkExec("/bin/true", []string{"true"}, nil)) },
	"make a device":         func(p place) error { return unix.Mknodat(p.rw, "null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) },
	"set a set-user-ID bit": func(p place) error { return unix.Fchmodat(p.rw, "file", 0o4755, 0) },
	"change an owner":       func(p place) error { return unix.Fchownat(p.rw, "file", 12, 12, 0) },
	"dial":                  func(place) error { return second(net.Dial("tcp", "127.0.0.1:1")) },
	"make a socket":         func(place) error { return second(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)) },
	"trace":                 func(place) error { return unix.PtraceAttach(os.Getppid()) },
	"signal another":        func(place) error { return unix.Kill(os.Getppid(), unix.SIGTERM) },
	"mount":                 func(p place) error { return unix.Mount("tmpfs", p.dir+"/rw", "tmpfs", 0, "") },
	"change the root":       func(place) error { return unix.Chroot("/") },
	"map code": func(place) error {
		return second(unix.Mmap(-1, 0, 4096, unix.PROT_EXEC|unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE))
	},
	"open by handle": func(p place) error {
		return second(unix.OpenByHandleAt(p.rw, unix.NewFileHandle(1, []byte("12345678")), 0))
	},
	"namespaces": func(place) error { return unix.Unshare(unix.CLONE_NEWUSER) },
	"ioctl":      func(p place) error { return second(unix.IoctlGetInt(p.rw, unix.TIOCGPGRP)) },
}

// run plays a probe.
func run(t *testing.T, name string) (output string, state *os.ProcessState) {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"rw", "ro", "own/left"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"rw/file", "ro/file", "secret"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "secret"), filepath.Join(dir, "rw", "out")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), probeEnv+"="+name, dirEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState
}

func TestJail(t *testing.T) {
	may := []string{"read", "write", "make", "make and move", "attributes", "chmod", "remove its socket", "work and grow"}
	refused := []string{
		"open a file", "open a file beside", "write to what is read", "make in what is read", "move out", "link out", "look through a link",
		"another process's files",
	}
	expect := map[string]string{}
	for name := range probes {
		expect[name] = "killed"
	}
	for _, name := range may {
		expect[name] = "may"
	}
	for _, name := range refused {
		expect[name] = "refused"
	}
	for name, want := range expect {
		t.Run(name, func(t *testing.T) {
			out, state := run(t, name)
			status := state.Sys().(syscall.WaitStatus)
			got := "killed"
			switch {
			case strings.Contains(out, survived):
				got = "may"
			case status.Exited():
				got = "refused"
			case status.Signal() != unix.SIGSYS:
				got = "ended by " + status.Signal().String()
			}
			if got != want {
				t.Errorf("%s, want %s: %v\n%s", got, want, state, out)
			}
		})
	}
}
