package main_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the agent once, as it is shipped.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "voidbox-guest-agent")
	build := exec.Command("go", "build", "-trimpath", "-tags=grpcnotrace", "-ldflags=-s -w", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	return m.Run()
}

// process is the agent as an ordinary process of this machine.
type process struct {
	sandbox.Sandbox
	t      testing.TB
	socket string
	token  []byte
	exited chan error
	pid    int
}

// ownUser makes commands run as whoever runs the test, in a directory of the test's.
func ownUser(t testing.TB) *boot.Config {
	config := newConfig()
	config.AnnouncePort = 0
	config.User = boot.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Name: "tester", Home: t.TempDir()}
	return config
}

func startProcess(t testing.TB, config *boot.Config, args ...string) *process {
	return startProcessAs(t, config, nil, args...)
}

// startProcessAs starts the agent with an account and a cgroup of its own.
func startProcessAs(t testing.TB, config *boot.Config, attr *syscall.SysProcAttr, args ...string) *process {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent-process") // not below t.TempDir, where only its owner may go
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data, err := config.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "boot.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if attr != nil && attr.Credential != nil {
		for _, path := range []string{dir, file} {
			if err := os.Chown(path, int(attr.Credential.Uid), int(attr.Credential.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := &process{t: t, socket: filepath.Join(dir, "s"), token: config.Token, exited: make(chan error, 1)}
	cmd := exec.Command(binary, append([]string{"-listen", "unix:" + p.socket, "-config", file}, args...)...)
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, attr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = cmd.Process.Pid
	go func() { p.exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		select {
		case err := <-p.exited:
			if err != nil {
				t.Errorf("the agent: %v", err)
			}
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			t.Error("the agent does not end on SIGTERM")
		}
	})
	p.Sandbox = newClient(t, config.Token, p.dial)
	return p
}

// dial connects to the agent's socket, which appears when it serves.
func (p *process) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "unix", p.socket)
		if err == nil || ctx.Err() != nil {
			return conn, err
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// end takes the process to its end and returns how it ended.
func (p *process) end() error {
	p.t.Helper()
	select {
	case err := <-p.exited:
		p.exited <- nil
		return err
	case <-time.After(30 * time.Second):
		p.t.Fatal("the agent does not end")
		return nil
	}
}
