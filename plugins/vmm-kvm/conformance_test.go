package main_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/internal/testmonitor"
	"github.com/voidbox-run/voidbox/sdk/plugintest"
	contract "github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/test/lab"
)

// Where the lab has what the tests run.
const (
	programs = "/lab"
	examples = "/lab/examples"
)

func TestMain(m *testing.M) {
	options := []lab.Option{lab.GuestSystem, lab.Files(lab.File{Host: filepath.Join("..", "..", "examples"), Guest: examples})}
	for name, pkg := range map[string]string{
		"voidbox": "cmd/voidbox", "voidbox-guest-agent": "guest/agent", "voidbox-vmm-kvm": "plugins/vmm-kvm", "voidbox-llm-replay": "plugins/llm-replay",
	} {
		options = append(options, lab.Program("github.com/voidbox-run/voidbox/"+pkg, name))
	}
	lab.Main(m, options...)
}

// programDir is the directory of the programs.
func programDir(t *testing.T) string {
	t.Helper()
	return filepath.Dir(lab.Path(t, programs+"/voidbox"))
}

func TestContract(t *testing.T) {
	lab.RequireKVM(t)
	plugintest.VMM(t, plugintest.VMMHarness{
		Open:         func(t *testing.T) vmm.VMM { return testmonitor.StartImmortal(t, programDir(t), "kvm", "").VMM() },
		Capabilities: []string{vmm.CapPause, vmm.CapNet, vmm.CapFS, vmm.CapRelink},
		Kernel:       lab.Path(t, lab.GuestKernel),
		Initrd:       lab.Path(t, lab.GuestInitrd),
		Segment:      image.BootSegment,
		MemoryBytes:  128 << 20,
	})
}

// boot makes a sandbox in a VM of the plugin's, which is started as a run does it, jail and all.
func boot(t *testing.T, spec sandbox.Spec) (*sandbox.Sandbox, *pluginhost.Instance) {
	t.Helper()
	images, err := image.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	spec.Kernel, spec.Initrd = lab.Path(t, lab.GuestKernel), lab.Path(t, lab.GuestInitrd)
	spec.ReadyTimeout = 3 * time.Minute // no test is about this limit, and the lab may be busy
	p := testmonitor.Start(t, programDir(t), "kvm", "")
	s, err := sandbox.NewVM(t.Context(), sandbox.VMConfig{VMM: p.VMM(), Images: images, Dir: p.RuntimeDir(), Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

// box is boot for a sandbox that ends well with the test.
func box(t *testing.T, spec sandbox.Spec) *sandbox.Sandbox {
	t.Helper()
	s, p := boot(t, spec)
	t.Cleanup(func() {
		if err := errors.Join(s.Close(context.Background()), p.Err()); err != nil {
			t.Errorf("close the sandbox: %v", err)
		}
	})
	return s
}

func TestSandboxContract(t *testing.T) {
	lab.RequireKVM(t)
	plugintest.Sandbox(t, func(t *testing.T) contract.Sandbox { return box(t, sandbox.Spec{}) })
}

func TestSandboxContractOfTheMainProcess(t *testing.T) {
	lab.RequireKVM(t)
	plugintest.SandboxMain(t, func(t *testing.T, main []string) contract.Sandbox { return box(t, sandbox.Spec{Main: main}) })
}
