// Package testsandbox is a sandbox for tests of the core: a temporary directory of the host, whose commands are real commands of
// the host. It isolates nothing and must never be reached by anything but a test.
package testsandbox

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// Sandbox is a directory that acts as the root of a file system. Commands see the host's, but start inside the directory.
type Sandbox struct {
	Root string
	// Fail, when set, is asked before every call with the method's name; an error becomes the call's.
	Fail func(method string) error

	mu   sync.Mutex
	down bool
}

// New returns an empty sandbox with a home directory, /home/agent.
func New(t testing.TB) *Sandbox {
	t.Helper()
	s := &Sandbox{Root: t.TempDir()}
	if err := os.MkdirAll(s.Host(home), 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

// Host is the place of a path on the host.
func (s *Sandbox) Host(path string) string { return filepath.Join(s.Root, filepath.Clean("/"+path)) }

// Down tells whether Shutdown was called.
func (s *Sandbox) Down() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

func (s *Sandbox) check(method string) error {
	if s.Fail == nil {
		return nil
	}
	return s.Fail(method)
}

// home is the sandbox's only home directory.
const home = "/home/agent"

// Exec runs a command of the host in the sandbox's directory. Arguments below the home directory are translated.
func (s *Sandbox) Exec(ctx context.Context, cmd sandbox.Command, stdio sandbox.IO) (sandbox.Exit, error) {
	if err := s.check("Exec"); err != nil {
		return sandbox.Exit{}, err
	}
	runCtx, cancel := ctx, context.CancelFunc(func() {})
	if cmd.Timeout > 0 {
		runCtx, cancel = context.WithTimeout(ctx, cmd.Timeout)
	}
	defer cancel()
	args := slices.Clone(cmd.Args)
	for i, arg := range args {
		if strings.HasPrefix(arg, home) {
			args[i] = s.Host(arg)
		}
	}
	c := exec.CommandContext(runCtx, args[0], args[1:]...)
	c.Dir = s.Host(cmd.Dir)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.Host(home), "ROOT=" + s.Root}
	for k, v := range cmd.Env {
		c.Env = append(c.Env, k+"="+v)
	}
	c.Stdout, c.Stderr = stdio.Stdout, stdio.Stderr
	if stdio.Stdin != nil {
		// Copied here, since os/exec would wait for an input that may never end.
		stdin, err := c.StdinPipe()
		if err != nil {
			return sandbox.Exit{}, err
		}
		go func() {
			defer stdin.Close()
			io.Copy(stdin, stdio.Stdin)
		}()
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 5 * time.Second
	err := c.Run()
	if ctx.Err() != nil {
		return sandbox.Exit{}, ctx.Err()
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return sandbox.Exit{}, nil
	case runCtx.Err() != nil:
		return sandbox.Exit{Code: 137, Signal: "KILL", TimedOut: true}, nil
	case errors.As(err, &exit):
		return sandbox.Exit{Code: exit.ExitCode()}, nil
	}
	return sandbox.Exit{}, translate(err)
}

func translate(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, exec.ErrNotFound):
		return errdef.New(errdef.ErrNotFound, "%w", err)
	case errors.Is(err, fs.ErrPermission):
		return errdef.New(errdef.ErrPermission, "%w", err)
	}
	return err
}

// ReadFile opens a file; the range's offset is not supported.
func (s *Sandbox) ReadFile(_ context.Context, path string, _ sandbox.Range) (io.ReadCloser, error) {
	if err := s.check("ReadFile"); err != nil {
		return nil, err
	}
	f, err := os.Open(s.Host(path))
	if err != nil {
		return nil, translate(err)
	}
	return f, nil
}

// WriteFile writes a file.
func (s *Sandbox) WriteFile(_ context.Context, path string, opt sandbox.WriteOptions, content io.Reader) (int64, error) {
	if err := s.check("WriteFile"); err != nil {
		return 0, err
	}
	if opt.Parents {
		if err := os.MkdirAll(filepath.Dir(s.Host(path)), 0o755); err != nil {
			return 0, translate(err)
		}
	}
	f, err := os.Create(s.Host(path))
	if err != nil {
		return 0, translate(err)
	}
	defer f.Close()
	if opt.Mode != 0 {
		if err := f.Chmod(opt.Mode); err != nil {
			return 0, err
		}
	}
	return io.Copy(f, content)
}

// Stat describes a path.
func (s *Sandbox) Stat(_ context.Context, path string, _ bool) (sandbox.FileInfo, error) {
	if err := s.check("Stat"); err != nil {
		return sandbox.FileInfo{}, err
	}
	info, err := os.Stat(s.Host(path))
	if err != nil {
		return sandbox.FileInfo{}, translate(err)
	}
	return sandbox.FileInfo{Name: info.Name(), Size: uint64(info.Size()), Mode: info.Mode(), ModTime: info.ModTime()}, nil
}

// ListDir is not needed.
func (s *Sandbox) ListDir(context.Context, string) ([]sandbox.FileInfo, error) {
	return nil, errdef.ErrUnsupported
}

// MakeDir makes a directory and its parents.
func (s *Sandbox) MakeDir(_ context.Context, path string, _ sandbox.MakeDirOptions) error {
	return os.MkdirAll(s.Host(path), 0o755)
}

// Remove removes a tree.
func (s *Sandbox) Remove(_ context.Context, path string, _ bool) error {
	return os.RemoveAll(s.Host(path))
}

// Rename moves a path.
func (s *Sandbox) Rename(_ context.Context, from, to string) error {
	return translate(os.Rename(s.Host(from), s.Host(to)))
}

// Info describes the sandbox.
func (s *Sandbox) Info(context.Context) (sandbox.Info, error) {
	if err := s.check("Info"); err != nil {
		return sandbox.Info{}, err
	}
	return sandbox.Info{Hostname: "test", Kernel: "test", Architecture: "x86_64", User: "agent", Home: home, WorkingDir: home}, nil
}

// Metrics is not supported.
func (s *Sandbox) Metrics(context.Context) (sandbox.Metrics, error) {
	return sandbox.Metrics{}, errdef.ErrUnsupported
}

// Dial is not supported.
func (s *Sandbox) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, errdef.ErrUnsupported
}

// Freeze is not supported.
func (s *Sandbox) Freeze(context.Context) error { return errdef.ErrUnsupported }

// Thaw is not supported.
func (s *Sandbox) Thaw(context.Context) error { return errdef.ErrUnsupported }

// WaitMain finds no main process.
func (s *Sandbox) WaitMain(context.Context) (sandbox.Exit, error) {
	return sandbox.Exit{}, errdef.ErrNotFound
}

// MainOutput finds no main process.
func (s *Sandbox) MainOutput(context.Context, bool, io.Writer, io.Writer) error {
	return errdef.ErrNotFound
}

// Shutdown marks the sandbox as down.
func (s *Sandbox) Shutdown(context.Context, time.Duration) (*sandbox.Exit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	return nil, s.check("Shutdown")
}
