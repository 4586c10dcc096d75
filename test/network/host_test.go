package network_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/config"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/run"
	"github.com/voidbox-run/voidbox/internal/kvmhost"
	"github.com/voidbox-run/voidbox/internal/testnet"
	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/test/lab"
)

// host is the machine of a test, alone with its internet.
type host struct {
	*testing.T
	*testnet.Internet
	backend string
	network string // the plugin

	mu     sync.Mutex
	events []event.Event
	came   chan struct{} // closed, and replaced, when an event came
}

// onMonitors runs a test on each monitor. Guests have busybox.
func onMonitors(t *testing.T, test func(h *host)) {
	t.Run("qemu", func(t *testing.T) { onQEMU(t, "", test) })
	t.Run("kvm", func(t *testing.T) {
		lab.RequireKVM(t)
		alone(t, "kvm", "", test)
	})
}

// onDebian runs a test on QEMU, with guests that have a Debian.
func onDebian(t *testing.T, test func(h *host)) { onQEMU(t, debian(t), test) }

// onDebians runs a test on each monitor, with guests that have a Debian.
func onDebians(t *testing.T, test func(h *host)) {
	t.Run("qemu", func(t *testing.T) { onQEMU(t, debian(t), test) })
	t.Run("kvm", func(t *testing.T) {
		requireThorough(t)
		alone(t, "kvm", debian(t), test)
	})
}

// requireThorough is lab.RequireKVM for what takes minutes in the lab, and runs there only if that is asked for.
func requireThorough(t *testing.T) {
	t.Helper()
	if err := kvmhost.Local().Check(); err != nil && os.Getenv(thoroughEnv) == "" {
		t.Skipf("no usable KVM here: %v; this takes minutes in the lab: `make test-kvm` runs it there", err)
	}
	lab.RequireKVM(t)
}

func debian(t *testing.T) string {
	switch {
	case testnet.Isolated():
		return os.Getenv(diskEnv)
	case lab.Inside():
		return labDisk
	}
	return testvm.Disk(t)
}

func onQEMU(t *testing.T, disk string, test func(h *host)) {
	if !testnet.Isolated() {
		testvm.Require(t)
	}
	alone(t, "qemu", disk, test)
}

// alone makes everything ready that a machine without a network of the world's lacks, and runs the test there.
func alone(t *testing.T, backend, disk string, test func(h *host)) {
	var env []string
	if !testnet.Isolated() {
		env = []string{
			programsEnv + "=" + programDir(t), diskEnv + "=" + disk,
			kernelEnv + "=" + lab.Path(t, lab.GuestKernel), initrdEnv + "=" + lab.Path(t, lab.GuestInitrd),
			examplesEnv + "=" + lab.Path(t, examples),
		}
	}
	if lab.Inside() {
		env = append(env, image.CacheDirEnv+"="+lab.CacheDir)
	}
	if !testnet.Isolate(t, env...) {
		return
	}
	test(&host{T: t, Internet: testnet.New(t), backend: backend, network: "slirp", came: make(chan struct{})})
}

// file writes a configuration of one sandbox, box, with a network block that has the given contents.
func (h *host) file(network string) string {
	h.Helper()
	kernel := fmt.Sprintf("kernel = %q\n  initrd = %q\n  image = \"base\"", os.Getenv(kernelEnv), os.Getenv(initrdEnv))
	if disk := os.Getenv(diskEnv); disk != "" {
		kernel = fmt.Sprintf("image = %q", disk)
	}
	text := fmt.Sprintf(`
sandbox "box" {
  backend       = %q
  %s
  memory        = "512MiB"
  user          = "root"
  ready_timeout = "3m" # no test is about this, and the machine may be busy

  network %q {
%s
  }
}
`, h.backend, kernel, h.network, network)
	path := filepath.Join(h.TempDir(), "agent.hcl")
	h.must(os.WriteFile(path, []byte(text), 0o644))
	return path
}

// boot boots a VM whose network block has the given contents.
func (h *host) boot(network string) *guest {
	h.Helper()
	plugins := h.plugins()
	p := h.load(plugins, h.file(network))
	spy := &spy{Host: run.Plugins(plugins)}
	box, err := run.Open(h.Context(), run.Config{
		Plan: p, Host: spy, Agent: filepath.Join(os.Getenv(programsEnv), "voidbox-guest-agent"), Sinks: []event.Sink{event.SinkFunc(h.record)},
	}, p.Sandboxes[0])
	h.must(err)
	g := &guest{host: h, Box: box, spy: spy}
	h.Cleanup(func() {
		if err := g.end(); err != nil && g.Cause() == nil { // what died has been told
			h.Error(err)
		}
	})
	return g
}

func (h *host) plugins() *pluginhost.Host {
	h.Helper()
	runtime, err := os.MkdirTemp("", "vb") // short enough for sockets
	h.must(err)
	host, err := pluginhost.New(pluginhost.Options{BuiltinDir: os.Getenv(programsEnv), RuntimeDir: runtime})
	h.must(err)
	h.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		h.must(host.Close(ctx))
		if left, _ := filepath.Glob(runtime + "/*"); len(left) > 0 {
			h.Errorf("left behind: %v", left)
		}
		_ = os.RemoveAll(runtime)
	})
	return host
}

func (h *host) load(plugins *pluginhost.Host, path string) *plan.Plan {
	h.Helper()
	p, _, diags := config.Load(h.Context(), path, config.Options{
		Describe: func(ctx context.Context, kind base.Kind, name string) (base.Description, error) {
			found, err := plugins.Describe(ctx, kind, name)
			return found.Description, err
		},
	})
	if p == nil {
		h.Fatalf("%v", diags)
	}
	return p
}

func (h *host) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// spy remembers what was started.
type spy struct {
	run.Host
	mu      sync.Mutex
	started []*pluginhost.Instance
}

func (s *spy) Start(ctx context.Context, req pluginhost.Request) (run.Plugin, error) {
	p, err := s.Host.Start(ctx, req)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = append(s.started, p.(*pluginhost.Instance))
	return p, nil
}

// last returns the process that was started last for a kind of plugin.
func (s *spy) last(kind base.Kind) *pluginhost.Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.started) - 1; i >= 0; i-- {
		if s.started[i].Description.Kind == kind {
			return s.started[i]
		}
	}
	return nil
}

// guest is a VM of the test's.
type guest struct {
	*host
	*run.Box
	spy *spy

	closing sync.Once
	err     error
}

// end shuts the guest down.
func (g *guest) end() error {
	g.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		g.err = g.Close(ctx)
	})
	return g.err
}

// try runs a line of shell in the guest and returns its output, and its exit status.
func (g *guest) try(script string, input ...io.Reader) (string, int) {
	g.Helper()
	var out bytes.Buffer
	streams := sandbox.IO{Stdout: &out, Stderr: &out}
	if len(input) > 0 {
		streams.Stdin = input[0]
	}
	exit, err := g.Exec(g.Context(), sandbox.Command{Args: []string{"sh", "-c", script}}, streams)
	if err != nil {
		g.Fatalf("%s: %v", script, err)
	}
	return out.String(), exit.Code
}

// sh runs a line of shell that has to succeed.
func (g *guest) sh(script string, input ...io.Reader) string {
	g.Helper()
	out, code := g.try(script, input...)
	if code != 0 {
		g.Fatalf("%s: exit status %d\n%s", script, code, out)
	}
	return out
}

// fails runs a line of shell that must fail.
func (g *guest) fails(script string) string {
	g.Helper()
	out, code := g.try(script)
	if code == 0 {
		g.Errorf("%s: it works\n%s", script, out)
	}
	return out
}

// outcome is what became of a line of shell.
type outcome struct {
	text string
	code int
}

// inBackground runs a line of shell beside others. It may be cut off by the guest's end.
func (g *guest) inBackground(script string) <-chan outcome {
	done := make(chan outcome, 1)
	var running sync.WaitGroup
	running.Go(func() {
		var out bytes.Buffer
		exit, err := g.Exec(context.WithoutCancel(g.Context()), sandbox.Command{Args: []string{"sh", "-c", script}}, sandbox.IO{Stdout: &out, Stderr: &out})
		if err != nil {
			exit.Code = -1
		}
		done <- outcome{out.String(), exit.Code}
	})
	// What runs for ever ends with the guest, so that has to end first.
	g.Cleanup(func() { _ = g.end(); running.Wait() })
	return done
}

// says runs a line of shell and looks for text in what it prints.
func (g *guest) says(script string, want ...string) {
	g.Helper()
	out := g.sh(script)
	for _, w := range want {
		if !strings.Contains(out, w) {
			g.Errorf("%s: no %q in\n%s", script, w, out)
		}
	}
}

func (h *host) record(e event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	close(h.came)
	h.came = make(chan struct{})
}

// await waits until an event is what the test wants.
func (h *host) await(what string, wanted func(event.Data) bool) {
	h.Helper()
	if !h.heard(0, wanted) {
		h.Fatalf("no event: %s", what)
	}
}

// heardSoFar is how many events there were.
func (h *host) heardSoFar() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.events)
}

// heard waits until an event, after the first ones, is what the test wants, and tells whether one came.
func (h *host) heard(first int, wanted func(event.Data) bool) bool {
	hang := time.After(time.Minute) // a safety net: a hang is a failure
	for seen := first; ; {
		h.mu.Lock()
		fresh, came := h.events[seen:], h.came
		h.mu.Unlock()
		for _, e := range fresh {
			if wanted(e.Data) {
				return true
			}
		}
		seen += len(fresh)
		select {
		case <-came:
		case <-hang:
			return false
		}
	}
}
