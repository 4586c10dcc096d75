package main_test

import (
	"context"
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

const program = "/lab/voidbox-vmm-kvm"

func TestMain(m *testing.M) {
	lab.Main(m, lab.GuestSystem, lab.Program("github.com/voidbox-run/voidbox/plugins/vmm-kvm", filepath.Base(program)))
}

// plugin starts the plugin as a run does, jail and all.
func plugin(t *testing.T, config string) *pluginhost.Instance {
	t.Helper()
	return testmonitor.Start(t, filepath.Dir(lab.Path(t, program)), "kvm", config)
}

func TestContract(t *testing.T) {
	lab.RequireKVM(t)
	plugintest.VMM(t, plugintest.VMMHarness{
		Open:         func(t *testing.T) vmm.VMM { return plugin(t, "").VMM() },
		Capabilities: []string{vmm.CapPause, vmm.CapNet, vmm.CapFS, vmm.CapRelink},
		Kernel:       lab.Path(t, lab.GuestKernel),
		Initrd:       lab.Path(t, lab.GuestInitrd),
		Segment:      image.BootSegment,
		MemoryBytes:  128 << 20,
	})
}

// box boots a sandbox in a VM of the plugin's.
func box(t *testing.T, spec sandbox.Spec) *sandbox.Sandbox {
	t.Helper()
	images, err := image.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	spec.Kernel, spec.Initrd = lab.Path(t, lab.GuestKernel), lab.Path(t, lab.GuestInitrd)
	spec.ReadyTimeout = 3 * time.Minute // no test is about this limit, and the lab may be busy
	p := plugin(t, "")
	s, err := sandbox.NewVM(t.Context(), sandbox.VMConfig{VMM: p.VMM(), Images: images, Dir: p.RuntimeDir(), Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
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
