package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Defaults of Options.
const (
	DefaultStartTimeout = 15 * time.Second
	DefaultGrace        = 5 * time.Second
)

// Options say where plugins come from and what they may do. The zero value finds the plugins beside the program.
type Options struct {
	// BuiltinDir holds voidbox's own plugins. Empty means the directory of the running program.
	BuiltinDir string
	// Dirs are searched after BuiltinDir, in order. What is found there is third-party. See DefaultDirs.
	Dirs []string
	// Overrides replaces plugins by binaries under development, by kind and name: "llm-echo" -> path. Their hash and version
	// are not checked.
	Overrides map[string]string
	// Required restricts versions, pins hashes and names binaries.
	Required []plan.Requirement
	// Reattach names plugins that run already, as the environment variable sdk.EnvReattach does; the variable's value.
	Reattach string

	// Lock holds the hashes of third-party plugins that were used before; nil means none. SaveLock is called with the whole
	// lock when a plugin is used for the first time; nil keeps it in memory.
	Lock     *Lock
	SaveLock func(Lock) error

	Logger *slog.Logger // nil means slog.Default
	// RuntimeDir is the parent of the private directory for sockets. Empty means the user's runtime directory, or the
	// temporary one.
	RuntimeDir string
	// CacheDir keeps answers to "describe" across runs. Empty keeps them in memory only.
	CacheDir string

	StartTimeout time.Duration // bounds describe, and start to configured; 0 means DefaultStartTimeout
	Grace        time.Duration // bounds the drain of a plugin; 0 means DefaultGrace
	// Getenv reads the host's environment; nil means os.LookupEnv.
	Getenv func(string) (string, bool)
}

// Host starts plugins and owns them. It is safe for concurrent use.
type Host struct {
	opt      Options
	log      *slog.Logger
	runtime  *runtimeDir
	launcher *launcher
	reattach map[string]sdk.Reattach
	life     context.Context // ends when Close begins
	endLife  context.CancelFunc

	mu        sync.Mutex
	closed    bool
	next      int // number of the next instance's directory
	instances map[*Instance]struct{}
	described map[fileID]description
	lock      Lock
	starting  sync.WaitGroup

	saving  sync.Mutex        // held while the lock is changed and saved
	sealing sync.Mutex        // held while a binary is copied
	images  map[fileID]*image // sealed copies
}

// New makes a host. It starts nothing yet, but owns a directory and a thread until Close.
func New(opt Options) (*Host, error) {
	if opt.Logger == nil {
		opt.Logger = slog.Default()
	}
	if opt.StartTimeout == 0 {
		opt.StartTimeout = DefaultStartTimeout
	}
	if opt.Grace == 0 {
		opt.Grace = DefaultGrace
	}
	if opt.Getenv == nil {
		opt.Getenv = os.LookupEnv
	}
	if opt.BuiltinDir == "" {
		dir, err := programDir()
		if err != nil {
			return nil, err
		}
		opt.BuiltinDir = dir
	}
	reattach, err := parseReattach(opt.Reattach)
	if err != nil {
		return nil, err
	}
	rt, err := newRuntimeDir(opt.RuntimeDir)
	if err != nil {
		return nil, err
	}
	h := &Host{
		opt: opt, log: opt.Logger, runtime: rt, launcher: newLauncher(), reattach: reattach,
		instances: map[*Instance]struct{}{},
		images:    map[fileID]*image{},
		described: map[fileID]description{},
	}
	h.life, h.endLife = context.WithCancel(context.Background())
	if opt.Lock != nil {
		h.lock = opt.Lock.clone()
	}
	return h, nil
}

// programDir is the directory of the running program, links resolved.
func programDir() (string, error) {
	exe, err := os.Executable()
	if err == nil {
		exe, err = filepath.EvalSymlinks(exe)
	}
	if err != nil {
		return "", fmt.Errorf("find the running program: %w", err)
	}
	return filepath.Dir(exe), nil
}

// Close cancels what is being started and ends every plugin, drained as long as ctx and the grace allow, and removes what the
// host owns. When it returns, no process, file or goroutine of the host is left. Closing twice is not an error.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.mu.Unlock()
	h.endLife()
	h.starting.Wait()

	h.mu.Lock()
	var open []*Instance
	for inst := range h.instances {
		open = append(open, inst)
	}
	h.mu.Unlock()

	var wg sync.WaitGroup
	errs := make([]error, len(open))
	for n, inst := range open {
		wg.Go(func() { errs[n] = inst.Close(ctx) })
	}
	wg.Wait()
	h.launcher.close()
	for _, img := range h.images {
		img.close()
	}
	return errors.Join(append(errs, h.runtime.remove())...)
}

// begin registers work that Close ends and waits for. The caller calls end when it is done.
func (h *Host) begin(ctx context.Context) (_ context.Context, end func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, nil, errdef.New(errdef.ErrState, "the plugin host is closed")
	}
	h.starting.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	disarm := context.AfterFunc(h.life, cancel)
	return ctx, func() {
		disarm()
		cancel()
		h.starting.Done()
	}, nil
}

// RuntimeDir is the host's directory for sockets: private to the user, with room for their names, and gone after Close.
func (h *Host) RuntimeDir() string { return h.runtime.path }

// instanceDir makes the private directory of one plugin process.
func (h *Host) instanceDir() (string, error) {
	h.mu.Lock()
	h.next++
	dir := filepath.Join(h.runtime.path, fmt.Sprint(h.next))
	h.mu.Unlock()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the plugin's directory: %w", err)
	}
	return dir, nil
}
