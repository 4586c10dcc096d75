package jail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A jail is for good, so each probe runs in a process of its own: this test program, started again.
const probeEnv, dirEnv = "VOIDBOX_JAIL_PROBE", "VOIDBOX_JAIL_DIR"

func TestMain(m *testing.M) {
	if name := os.Getenv(probeEnv); name != "" {
		if err := probes[name](os.Getenv(dirEnv)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// probes confine the process, try something, and return an error when that did not end as it should.
var probes = map[string]func(dir string) error{
	"open a file":           confined(func(string) error { return denied(os.ReadFile("/etc/passwd")) }),
	"write a file":          confined(func(dir string) error { return denied(os.Create(dir + "/x")) }),
	"open on a new thread":  confined(onNewThreads(func() error { return denied(os.ReadFile("/etc/passwd")) })),
	"execute":               confined(func(string) error { return denied(exec.Command("/bin/true").CombinedOutput()) }),
	"make an inet socket":   confined(func(string) error { return denied(net.Dial("tcp", "127.0.0.1:9")) }),
	"make a udp socket":     confined(func(string) error { return denied(net.ListenPacket("udp", "127.0.0.1:0")) }),
	"make a netlink socket": confined(func(string) error { return denied(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)) }),
	"map executable memory": confined(func(string) error {
		return denied(unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE))
	}),
	"signal another process": confined(func(string) error { return denied(0, unix.Kill(os.Getppid(), 0)) }),
	"trace":                  confined(func(string) error { return denied(0, unix.PtraceAttach(os.Getppid())) }),
	"gain privileges": confined(func(string) error {
		if v, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && v != 1 {
			return errors.New("no_new_privs is not set")
		}
		return nil
	}),
	"use a unix socket": confinedWith(func(dir string) (func() error, error) {
		l, err := net.Listen("unix", dir+"/sock")
		return func() error { return useAndRemove(l, dir+"/sock") }, err
	}),
	"work and grow": confined(func(string) error { return workAndGrow() }),
	"child end": confinedWith(func(string) (func() error, error) {
		child := exec.Command("/bin/sleep", "1000")
		return func() error {
			if err := child.Process.Kill(); err != nil {
				return fmt.Errorf("kill the child: %w", err)
			}
			var ended *exec.ExitError
			if err := child.Wait(); !errors.As(err, &ended) {
				return fmt.Errorf("wait for the child: %w", err)
			}
			return nil
		}, child.Start()
	}),
	"remove the runtime directory": confinedWith(func(dir string) (func() error, error) {
		err := os.WriteFile(dir+"/left", nil, 0o600)
		return func() error { return os.RemoveAll(dir + "/left") }, err
	}),
	"file of a confined program": inThread("cat", "/etc/hostname", false),
	"file that was allowed":      inThread("cat", "/etc/passwd", true),
	"connection of a confined program": func(dir string) error {
		return inConfinedThread(func() error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			for _, name := range []string{dir + "/sock", "@abstract", "@" + strings.Repeat("d", DoorName+1), "@d"} {
				if err := denied(0, unix.Connect(fd, &unix.SockaddrUnix{Name: name})); err != nil {
					return fmt.Errorf("connect to %s: %w", name, err)
				}
			}
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: "@" + strings.Repeat("d", DoorName)})
			if !errors.Is(err, unix.ECONNREFUSED) { // nobody is there
				return fmt.Errorf("connect to a door: %w", err)
			}
			return nil
		})
	},
	"socket of a confined program": func(dir string) error {
		return inThread("bash", "-c", false, "exec 3<>/dev/udp/127.0.0.1/9")(dir)
	},
}

func TestJail(t *testing.T) {
	for name := range probes {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "jail") // short enough for a socket
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // a safety net: a hang is a failure
			defer cancel()
			cmd := exec.CommandContext(ctx, "/proc/self/exe")
			cmd.Env = []string{probeEnv + "=" + name, dirEnv + "=" + dir, "PATH=" + os.Getenv("PATH")}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func confined(try func(dir string) error) func(string) error {
	return confinedWith(func(dir string) (func() error, error) {
		return func() error { return try(dir) }, nil
	})
}

// confinedWith prepares, confines, and then tries.
func confinedWith(prepare func(dir string) (func() error, error)) func(string) error {
	return func(dir string) error {
		try, err := prepare(dir)
		if err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		if err := Process(Grants{Dirs: []string{dir}}); err != nil {
			return fmt.Errorf("confine: %w", err)
		}
		return try()
	}
}

func denied(_ any, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return nil
	}
	return fmt.Errorf("want permission denied, got %v", err)
}

// onNewThreads runs try on several threads at once, most of which did not exist when the jail was closed.
func onNewThreads(try func() error) func(string) error {
	return func(string) error {
		const n = 8
		errs := make([]error, n)
		var ready, done sync.WaitGroup
		ready.Add(n)
		for i := range n {
			done.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				ready.Done()
				ready.Wait() // all at once, hence n threads
				errs[i] = try()
			})
		}
		done.Wait()
		return errors.Join(errs...)
	}
}

func useAndRemove(l net.Listener, path string) error {
	echoed := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = conn.Write([]byte("x"))
			_ = conn.Close()
		}
		echoed <- err
	}()
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return err
	}
	if err := errors.Join(<-echoed, conn.Close(), l.Close()); err != nil {
		return err
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the socket was not removed: %v", err)
	}
	return nil
}

// workAndGrow makes the runtime allocate, collect and start threads.
func workAndGrow() error {
	var kept [][]byte
	for range 64 {
		kept = append(kept, make([]byte, 1<<20))
	}
	runtime.GC()
	runtime.KeepAlive(kept)
	return onNewThreads(func() error { return nil })("")
}

// inConfinedThread calls try from a thread that is confined as a program of ours is.
func inConfinedThread(try func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends confined
		if err := Thread(Files{}); err != nil {
			result <- err
			return
		}
		result <- try()
	}()
	return <-result
}

// inThread runs a program from a confined thread and wants it to succeed or to fail.
func inThread(program, file string, ok bool, more ...string) func(string) error {
	return func(string) error {
		path, err := exec.LookPath(program)
		if err != nil {
			return err
		}
		result := make(chan error, 1)
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends confined
			allowed := []string{"/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/passwd", "/dev/null"}
			if err := Thread(Files{Read: allowed, Write: []string{"/dev/null"}}); err != nil {
				result <- err
				return
			}
			out, err := exec.Command(path, append([]string{file}, more...)...).CombinedOutput()
			switch {
			case ok && err != nil:
				result <- fmt.Errorf("%w: %s", err, out)
			case !ok && (err == nil || !refusal(string(out))):
				result <- fmt.Errorf("it was not refused: %v: %s", err, out)
			default:
				result <- nil
			}
		}()
		if err := <-result; err != nil {
			return err
		}
		_, err = os.ReadFile(filepath.Join("/etc", "hostname")) // this thread is free
		return err
	}
}

func refusal(output string) bool {
	return strings.Contains(output, "Permission denied") || strings.Contains(output, "not permitted")
}
