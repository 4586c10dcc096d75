package sandbox_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/sdk/base"
)

// bin holds the programs under test; it is filled by the first test that needs them.
var bin struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	status := m.Run()
	if bin.dir != "" {
		_ = os.RemoveAll(bin.dir)
	}
	if status == 0 {
		if err := goleak.Find(); err != nil {
			println(err.Error())
			status = 1
		}
	}
	os.Exit(status)
}

// programs builds the plugin and the guest agent from this tree and returns their directory.
func programs(t testing.TB) string {
	t.Helper()
	bin.once.Do(func() {
		if bin.dir, bin.err = os.MkdirTemp("", "voidbox-bin-"); bin.err != nil {
			return
		}
		for name, pkg := range map[string]string{"voidbox-vmm-qemu": "plugins/vmm-qemu", image.AgentName: "guest/agent"} {
			cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(bin.dir, name), "github.com/voidbox-run/voidbox/"+pkg)
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
			if out, err := cmd.CombinedOutput(); err != nil {
				bin.err = errors.Join(bin.err, err, errors.New(string(out)))
			}
		}
	})
	if bin.err != nil {
		t.Fatal(bin.err)
	}
	return bin.dir
}

// startPlugin starts a monitor under the real plugin host.
func startPlugin(t testing.TB) *pluginhost.Instance {
	t.Helper()
	host, err := pluginhost.New(pluginhost.Options{BuiltinDir: programs(t), RuntimeDir: shortDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := host.Close(ctx); err != nil {
			t.Errorf("close the plugin host: %v", err)
		}
	})
	plugin, err := host.Start(t.Context(), pluginhost.Request{Kind: base.KindVMM, Name: "qemu", Instance: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return plugin
}

// config returns what a VM needs; its plugin ends with the test.
func config(t testing.TB, spec sandbox.Spec) (sandbox.VMConfig, *pluginhost.Instance) {
	t.Helper()
	means := testvm.Require(t)
	plugin := startPlugin(t)
	if spec.ReadyTimeout == 0 {
		spec.ReadyTimeout = 3 * time.Minute // no test is about this limit unless it says so, and the machine may be busy
	}
	return sandbox.VMConfig{
		VMM: plugin.VMM(), Images: means.Cache, Dir: plugin.RuntimeDir(),
		Agent: filepath.Join(programs(t), image.AgentName), Spec: spec,
	}, plugin
}

// boot returns a VM that is closed with the test.
func boot(t testing.TB, spec sandbox.Spec) (*sandbox.Sandbox, *pluginhost.Instance) {
	t.Helper()
	cfg, plugin := config(t, spec)
	s, err := sandbox.NewVM(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeVM(t, s) })
	return s, plugin
}

func closeVM(t testing.TB, s *sandbox.Sandbox) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("close the VM: %v", err)
	}
}

// bootFails returns the error of a boot that must not succeed.
func bootFails(t *testing.T, cfg sandbox.VMConfig) *sandbox.BootError {
	t.Helper()
	s, err := sandbox.NewVM(t.Context(), cfg)
	if err == nil {
		closeVM(t, s)
		t.Fatal("the VM got ready")
	}
	var failed *sandbox.BootError
	if !errors.As(err, &failed) {
		t.Fatalf("error of type %T, want *BootError: %v", err, err)
	}
	t.Logf("the user sees: %v", err)
	return failed
}

// shortDir is a directory in which sockets have room, unlike that of a test with a long name.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
