package voidbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/image/source"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/run"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// SandboxBuilder is a sandbox without a main process. It cannot be built: choose Run or OCI first.
type SandboxBuilder struct{ spec plan.Sandbox }

// NewSandbox starts the description of a sandbox: one CPU, 512 MiB, no network, backend auto.
func NewSandbox() SandboxBuilder {
	return SandboxBuilder{plan.Sandbox{
		Name: "sandbox", Backend: plan.BackendAuto, Image: plan.ImageBase,
		CPUs: plan.DefaultCPUs, MemoryBytes: plan.DefaultMemoryBytes, ReadyTimeout: plan.DefaultReadyTimeout,
	}}
}

// Run makes a program of the built-in image the main process.
func (b SandboxBuilder) Run(program string, args ...string) RunnableSandbox {
	b.spec.Main = append([]string{program}, args...)
	return RunnableSandbox{spec: b.spec}
}

// OCI takes another root file system and its own main process, with arguments for it in place of the image's. The image is named
// as in a file: docker.io/library/node:22-slim, oci:./layout, docker-archive:./image.tar, dir:./rootfs. A raw disk (disk:./disk.img)
// has no main process.
func (b SandboxBuilder) OCI(image string, args ...string) RunnableSandbox {
	b.spec.Image, b.spec.Args = image, args
	return RunnableSandbox{spec: b.spec}
}

// Packages makes the root file system of a small Debian with packages of these names and what they need. Its main process sleeps.
func (b SandboxBuilder) Packages(names ...string) RunnableSandbox {
	b.spec.Packages = slices.Compact(slices.Sorted(slices.Values(names)))
	return RunnableSandbox{spec: b.spec}
}

// RunnableSandbox is a sandbox with a main process. Its methods return changed copies.
type RunnableSandbox struct {
	spec plan.Sandbox
	sink event.Sink
	err  error // of what could not be described
}

// Name sets the name that logs and the guest's host name show.
func (r RunnableSandbox) Name(name string) RunnableSandbox { r.spec.Name = name; return r }

// Backend chooses what the sandbox is made of: auto, kvm, qemu, mock or the name of another plugin. Auto is never mock.
func (r RunnableSandbox) Backend(name string) RunnableSandbox { r.spec.Backend = name; return r }

// CPUs sets the number of virtual CPUs.
func (r RunnableSandbox) CPUs(n int) RunnableSandbox { r.spec.CPUs = n; return r }

// MemoryMB sets the guest's memory in MiB.
func (r RunnableSandbox) MemoryMB(n int) RunnableSandbox {
	r.spec.MemoryBytes = uint64(n) << 20
	return r
}

// DiskMB has what is written to the root file system of an image go to a disk of that many MiB, instead of the guest's memory. The
// disk is gone with the sandbox.
func (r RunnableSandbox) DiskMB(n int) RunnableSandbox {
	r.spec.DiskBytes = uint64(n) << 20
	return r
}

// Kernel names a kernel file, instead of the one that is found or fetched.
func (r RunnableSandbox) Kernel(path string) RunnableSandbox { r.spec.Kernel = path; return r }

// Initrd names an initramfs that brings the guest agent, instead of the one that is built.
func (r RunnableSandbox) Initrd(path string) RunnableSandbox { r.spec.Initrd = path; return r }

// Restart says when the main process is started again after it has ended: never, on-failure or always.
func (r RunnableSandbox) Restart(when string) RunnableSandbox { r.spec.Restart = when; return r }

// User sets who commands run as by default: root, sandbox or uid[:gid].
func (r RunnableSandbox) User(user string) RunnableSandbox { r.spec.User = user; return r }

// Dir sets the working directory of commands.
func (r RunnableSandbox) Dir(path string) RunnableSandbox { r.spec.WorkingDir = path; return r }

// Env sets a variable in the environment of every command.
func (r RunnableSandbox) Env(name, value string) RunnableSandbox {
	env := map[string]string{name: value}
	for k, v := range r.spec.Env {
		if k != name {
			env[k] = v
		}
	}
	r.spec.Env = env
	return r
}

// Commands bounds what may be started: a name in PATH (git), a file (/usr/bin/git), or a directory with a slash at its end
// (/opt/tools/). It is no jail: what such a program starts is not asked about. Exec needs sh.
func (r RunnableSandbox) Commands(rules ...string) RunnableSandbox {
	r.spec.Commands = append(r.spec.Commands[:len(r.spec.Commands):len(r.spec.Commands)], rules...)
	return r
}

// CommandLimits bounds each command: memory, open files, processes, size of files, CPU time. Zero means unbounded.
func (r RunnableSandbox) CommandLimits(l plan.Limits) RunnableSandbox { r.spec.Limits = l; return r }

// Mount lends the guest a directory or file of the host at an absolute path, before the main process starts. The mode is ro, rw
// or overlay (the guest writes, and the host's files stay as they are). A "~" in front is the home: of the host's user in source, of
// the sandbox's ordinary user in target. A backend that cannot do it refuses to start; see [Sandbox.WaitReady].
func (r RunnableSandbox) Mount(target, source, mode string) RunnableSandbox {
	if rest, ok := belowHome(target); ok {
		target = guestHome + rest
	}
	mount := plan.Mount{Target: target, Source: fromHome(source), Mode: mode}
	r.spec.Mounts = append(r.spec.Mounts[:len(r.spec.Mounts):len(r.spec.Mounts)], mount)
	return r
}

// DeployKey lets ssh and git in the guest sign with a private key that stays on the host. Where hosts are named (github.com, or
// git.example.com:2222), it logs in there and signs nothing else; their keys must be known, see KnownHosts. A "~" in front of path is
// the home.
func (r RunnableSandbox) DeployKey(name, path string, hosts ...string) RunnableSandbox {
	key := plan.DeployKey{Name: name, Path: fromHome(path), Hosts: hosts}
	r.spec.DeployKeys = append(r.spec.DeployKeys[:len(r.spec.DeployKeys):len(r.spec.DeployKeys)], key)
	return r
}

// SSHAgent lets programs in the guest sign with the keys of the agent that SSH_AUTH_SOCK names on the host.
func (r RunnableSandbox) SSHAgent() RunnableSandbox { r.spec.SSHAgent = true; return r }

// KnownHosts adds lines of a known_hosts file to those of the usual forges, which the guest has with keys or hosts.
func (r RunnableSandbox) KnownHosts(lines ...string) RunnableSandbox {
	r.spec.KnownHosts = append(r.spec.KnownHosts[:len(r.spec.KnownHosts):len(r.spec.KnownHosts)], lines...)
	return r
}

// fromHome makes a path of the host absolute; without a working directory it stays as it is, and whoever opens it will say so.
func fromHome(path string) string {
	if rest, ok := belowHome(path); ok {
		if home, err := os.UserHomeDir(); err == nil {
			path = home + rest
		}
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// guestHome is that of the user "sandbox", whom every image has.
const guestHome = "/home/sandbox"

// belowHome splits off a "~" in front.
func belowHome(path string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, "~")
	return rest, ok && (rest == "" || rest[0] == '/')
}

// OnEvent is told of each step of the start.
func (r RunnableSandbox) OnEvent(fn func(event.Event)) RunnableSandbox {
	r.sink = event.SinkFunc(fn)
	return r
}

// Build starts the sandbox and returns while it still boots. WaitReady, or any other call, waits for it and returns what went
// wrong. The end of ctx ends the boot, and nothing else: the caller calls Shutdown in any case.
func (r RunnableSandbox) Build(ctx context.Context) (*Sandbox, error) {
	if r.spec.CPUs < 1 || r.spec.MemoryBytes == 0 {
		return nil, errdef.New(errdef.ErrInvalid, "a sandbox needs at least one CPU and some memory, not %d CPUs and %d bytes", r.spec.CPUs, r.spec.MemoryBytes)
	}
	image, err := source.Parse(r.spec.Image, "")
	if err != nil {
		return nil, err
	}
	r.spec.Image = image.String()
	if err := r.checkNetwork(); err != nil {
		return nil, err
	}
	host, agent, err := openHost()
	if err != nil {
		return nil, err
	}
	cfg := run.Config{Host: run.Plugins(host), Agent: agent}
	if r.sink != nil {
		cfg.Sinks = []event.Sink{r.sink}
	}
	bootCtx, cancel := context.WithCancelCause(ctx)
	s := &Sandbox{host: host, cancelBoot: cancel, ready: make(chan struct{})}
	spec := r.spec
	go func() {
		defer close(s.ready)
		s.box, s.bootErr = run.Open(bootCtx, cfg, &spec)
	}()
	return s, nil
}

// Sandbox is a sandbox that boots or runs. Its owner calls Shutdown.
type Sandbox struct {
	host       *pluginhost.Host
	cancelBoot context.CancelCauseFunc
	ready      chan struct{} // closed when box or bootErr is set
	box        *run.Box
	bootErr    error
	closing    sync.Once
	exit       *sandbox.Exit
	closeErr   error
}

// ErrNotReady says that a sandbox was not ready in time. It may still become so.
var ErrNotReady = errors.New("the sandbox is not ready")

// WaitReady waits until the guest agent has answered: for 30 s, or as long as the given limit. A boot that failed is its error;
// one that takes longer is [ErrNotReady], and may be waited for again. Under emulation, on a busy machine or with a kernel to
// fetch first, 30 s can be short.
func (s *Sandbox) WaitReady(ctx context.Context, limit ...time.Duration) error {
	wait := plan.DefaultReadyTimeout
	if len(limit) > 0 {
		wait = limit[0]
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-s.ready:
		return s.bootErr
	case <-timer.C:
		return fmt.Errorf("%w after %s", ErrNotReady, wait)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Sandbox returns the whole contract, once the sandbox is ready.
func (s *Sandbox) Sandbox(ctx context.Context) (sandbox.Sandbox, error) {
	select {
	case <-s.ready:
		return s.box, s.bootErr
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ExecResult is what a command wrote and how it ended.
type ExecResult struct {
	Stdout, Stderr []byte
	ExitCode       int
	Exit           sandbox.Exit
}

// Exec runs a line of shell with env added to the environment, and returns when it has ended. A command that fails is a result
// with an exit code, not an error.
func (s *Sandbox) Exec(ctx context.Context, line string, env map[string]string) (ExecResult, error) {
	return s.Command(ctx, sandbox.Command{Args: []string{"/bin/sh", "-c", line}, Env: env}, nil)
}

// Command runs a command with stdin, which may be nil.
func (s *Sandbox) Command(ctx context.Context, cmd sandbox.Command, stdin io.Reader) (ExecResult, error) {
	box, err := s.Sandbox(ctx)
	if err != nil {
		return ExecResult{}, err
	}
	var stdout, stderr bytes.Buffer
	exit, err := box.Exec(ctx, cmd, sandbox.IO{Stdin: stdin, Stdout: &stdout, Stderr: &stderr})
	return ExecResult{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), ExitCode: exit.Code, Exit: exit}, err
}

// WriteFile writes a file of the guest, whole or not at all, and makes missing directories.
func (s *Sandbox) WriteFile(ctx context.Context, path string, content []byte) error {
	box, err := s.Sandbox(ctx)
	if err != nil {
		return err
	}
	_, err = box.WriteFile(ctx, path, sandbox.WriteOptions{Parents: true}, bytes.NewReader(content))
	return err
}

// ReadFile reads a file of the guest into memory.
func (s *Sandbox) ReadFile(ctx context.Context, path string) ([]byte, error) {
	box, err := s.Sandbox(ctx)
	if err != nil {
		return nil, err
	}
	file, err := box.ReadFile(ctx, path, sandbox.Range{})
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}

// Exists tells whether a path exists in the guest.
func (s *Sandbox) Exists(ctx context.Context, path string) (bool, error) {
	box, err := s.Sandbox(ctx)
	if err != nil {
		return false, err
	}
	return sandbox.Exists(ctx, box, path)
}

// ListDir lists a directory of the guest: name, type and size of each entry.
func (s *Sandbox) ListDir(ctx context.Context, path string) ([]sandbox.FileInfo, error) {
	box, err := s.Sandbox(ctx)
	if err != nil {
		return nil, err
	}
	return box.ListDir(ctx, path)
}

// Info describes the guest: kernel, host name, CPUs, memory.
func (s *Sandbox) Info(ctx context.Context) (sandbox.Info, error) {
	box, err := s.Sandbox(ctx)
	if err != nil {
		return sandbox.Info{}, err
	}
	return box.Info(ctx)
}

// Socket is the host's unix socket of the guest's ports, with the token that the agent demands: connect, write
// "CONNECT 1234\n", read "OK <n>\n", then speak the sandbox contract. A mock has none: the path is empty.
func (s *Sandbox) Socket(ctx context.Context) (path string, token []byte, err error) {
	if _, err := s.Sandbox(ctx); err != nil {
		return "", nil, err
	}
	return s.box.SocketPath(), s.box.Token(), nil
}

// Shutdown ends the main process, then everything else, then the VM and its plugins, and returns how the main process ended,
// nil if it had none. A sandbox that still boots is given up. When it returns nothing is left; calling it twice is harmless.
func (s *Sandbox) Shutdown(ctx context.Context) (*sandbox.Exit, error) {
	s.closing.Do(func() {
		s.cancelBoot(errors.New("the sandbox is shut down"))
		<-s.ready
		if s.box != nil {
			s.exit, s.closeErr = s.box.Shutdown(ctx, 0)
			if err := s.box.Close(ctx); s.closeErr == nil {
				s.closeErr = err
			}
		}
		if err := s.host.Close(ctx); s.closeErr == nil {
			s.closeErr = err
		}
	})
	return s.exit, s.closeErr
}
