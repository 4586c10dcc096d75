package mock

import (
	"context"
	"io"
	"io/fs"
	"net"
	"path"
	"sync"
	"syscall"
	"time"

	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/accounts"
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/memfs"
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/programs"
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/shell"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

const (
	// Version of the plugin.
	Version    = "1.0.0"
	workingDir = "/workspace"

	defaultMemory = 512 << 20
	// minMemory is room for the system's own files.
	minMemory = 16 << 20
	maxMemory = 1 << 30
	maxNodes  = 200_000
)

var (
	root = memfs.User{Root: true}
	// ordinary is the user that commands run as unless told otherwise.
	ordinary = accounts.Account{Name: "agent", UID: 1000, GID: 1000, Home: "/home/agent"}
)

// Sandbox is one machine in memory. It implements sandbox.Sandbox.
type Sandbox struct {
	spec    sandbox.Spec
	machine *shell.Machine
	main    *mainProcess // nil when there is none

	ctx  context.Context // of everything that runs
	stop context.CancelCauseFunc

	mu      sync.Mutex
	down    bool
	running sync.WaitGroup // commands; grows only while not down
}

func newSandbox(spec sandbox.Spec, responses []response) (*Sandbox, error) {
	if spec.Hostname == "" {
		spec.Hostname = "voidbox-mock"
	}
	spec.CPUs = max(spec.CPUs, 1)
	if spec.MemoryBytes == 0 {
		spec.MemoryBytes = defaultMemory
	}
	// Files are what fills the memory of this machine.
	limits := memfs.Limits{Bytes: int64(min(max(spec.MemoryBytes, minMemory), maxMemory)), Nodes: maxNodes}
	s := &Sandbox{spec: spec}
	s.machine = shell.NewMachine(memfs.New(limits), programs.Machine{
		Hostname: spec.Hostname, Kernel: "6.1.0-voidbox-mock", Version: "#1 voidbox mock sandbox (no kernel)", Arch: "x86_64",
		CPUs: spec.CPUs, MemoryBytes: spec.MemoryBytes, Boot: time.Now(),
	})
	s.machine.Intercept = newResponder(responses).intercept
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	if err := s.furnish(); err != nil {
		return nil, err
	}
	if len(spec.Main) > 0 {
		s.main = s.startMain()
	}
	return s, nil
}

// furnish makes the files of a small system, then those of the specification.
func (s *Sandbox) furnish() error {
	f := s.machine.FS
	var failed error
	try := func(err error) {
		if failed == nil {
			failed = err
		}
	}
	for _, dir := range []string{"/bin", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/sbin", "/usr/bin", "/usr/local/bin", "/var/log"} {
		try(f.MkdirAll(root, dir, 0o755))
	}
	try(f.Chmod(root, "/root", 0o700))
	for _, dir := range []string{"/tmp", "/var/tmp"} {
		try(f.MkdirAll(root, dir, 0o777))
		try(f.Chmod(root, dir, 0o777|fs.ModeSticky))
	}
	for _, dir := range []string{ordinary.Home, workingDir} {
		try(f.MkdirAll(root, dir, 0o755))
		try(f.Chown(root, dir, ordinary.UID, ordinary.GID, true))
	}
	for _, name := range shell.Names() {
		try(f.WriteFile(root, "/bin/"+name, shell.ProgramFile(name), 0o755))
		try(f.Symlink(root, "/bin/"+name, "/usr/bin/"+name))
	}
	for name, device := range map[string]memfs.Device{"null": memfs.Null, "zero": memfs.Zero, "random": memfs.Random, "urandom": memfs.Random, "full": memfs.Full} {
		try(f.Mknod("/dev/"+name, device))
	}
	for name, content := range map[string]string{
		"/etc/hostname":   s.spec.Hostname + "\n",
		"/etc/passwd":     "root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000:agent:/home/agent:/bin/sh\n",
		"/etc/group":      "root:x:0:\nagent:x:1000:\n",
		"/etc/os-release": "ID=voidbox-mock\nNAME=\"voidbox mock\"\nPRETTY_NAME=\"voidbox mock sandbox\"\n",
		"/etc/hosts":      "127.0.0.1 localhost " + s.spec.Hostname + "\n",
		"/proc/version":   "Linux version 6.1.0-voidbox-mock (voidbox mock sandbox)\n",
	} {
		try(f.WriteFile(root, name, []byte(content), 0o644))
	}
	for _, seed := range s.spec.Files {
		try(f.MkdirAll(asRoot(ordinary), path.Dir(seed.Path), 0o755))
		try(s.writeWhole(seed))
	}
	if failed != nil {
		return convert(failed)
	}
	return nil
}

func (s *Sandbox) writeWhole(seed sandbox.SeedFile) error {
	r, err := s.machine.FS.Replacement(ordinary.User())
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.Write(seed.Content); err != nil {
		return err
	}
	return r.Commit(root, seed.Path, seed.Mode)
}

// enter admits a call, or says that the sandbox is down. The caller calls s.running.Done when it was admitted.
func (s *Sandbox) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errdef.New(errdef.ErrUnavailable, "the sandbox was shut down")
	}
	s.running.Add(1)
	return nil
}

// Info implements sandbox.Sandbox.
func (s *Sandbox) Info(context.Context) (sandbox.Info, error) {
	if err := s.enter(); err != nil {
		return sandbox.Info{}, err
	}
	defer s.running.Done()
	m := s.machine.Facts
	info := sandbox.Info{
		Hostname: m.Hostname, Kernel: m.Kernel, Architecture: m.Arch, CPUs: m.CPUs, MemoryBytes: m.MemoryBytes,
		Uptime: time.Since(m.Boot), AgentVersion: "sandbox-mock " + Version, User: ordinary.Name, Home: ordinary.Home, WorkingDir: workingDir,
		Capabilities: []string{sandbox.CapUsers, sandbox.CapExactLimits, sandbox.CapTrees},
		Mounts:       []sandbox.Mount{{Source: "memory", Target: "/", Type: "memfs"}},
	}
	if s.main != nil {
		info.Main = s.main.state()
	}
	return info, nil
}

func unsupported(what string) error {
	return errdef.New(errdef.ErrUnsupported, "the mock sandbox does not support %s", what).
		WithRemedy("Use a sandbox in a VM, with backend qemu or kvm.")
}

// Metrics implements sandbox.Sandbox.
func (s *Sandbox) Metrics(context.Context) (sandbox.Metrics, error) {
	return sandbox.Metrics{}, unsupported("metrics")
}

// Dial implements sandbox.Sandbox. There is no network.
func (s *Sandbox) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, unsupported("connections")
}

// Freeze implements sandbox.Sandbox.
func (s *Sandbox) Freeze(context.Context) error { return unsupported("freeze") }

// Thaw implements sandbox.Sandbox.
func (s *Sandbox) Thaw(context.Context) error { return unsupported("freeze") }

// WaitMain implements sandbox.Sandbox.
func (s *Sandbox) WaitMain(ctx context.Context) (sandbox.Exit, error) {
	if s.main == nil {
		return sandbox.Exit{}, errNoMain
	}
	return s.main.wait(ctx)
}

// MainOutput implements sandbox.Sandbox.
func (s *Sandbox) MainOutput(ctx context.Context, follow bool, stdout, stderr io.Writer) error {
	if s.main == nil {
		return errNoMain
	}
	return s.main.output.copy(ctx, follow, stdout, stderr)
}

// Shutdown implements sandbox.Sandbox. Programs here end at once on SIGTERM, so grace is never used up.
func (s *Sandbox) Shutdown(ctx context.Context, _ time.Duration) (*sandbox.Exit, error) {
	s.mu.Lock()
	if s.down {
		s.mu.Unlock()
		return nil, errdef.New(errdef.ErrState, "the sandbox was shut down already")
	}
	s.down = true
	s.mu.Unlock()
	s.end()
	if s.main == nil {
		return nil, nil
	}
	exit, err := s.main.wait(ctx)
	return &exit, err
}

// close ends the sandbox, however far it is.
func (s *Sandbox) close() {
	s.mu.Lock()
	s.down = true
	s.mu.Unlock()
	s.end()
}

// end kills everything and waits for it.
func (s *Sandbox) end() {
	s.stop(shell.Killed(syscall.SIGTERM))
	s.running.Wait()
}
