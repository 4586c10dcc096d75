package main_test

import (
	"path/filepath"
	"testing"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/internal/testmonitor"
	"github.com/voidbox-run/voidbox/sdk/plugintest"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/test/lab"
)

const program = "/lab/voidbox-vmm-kvm"

func TestMain(m *testing.M) {
	lab.Main(m, lab.GuestSystem, lab.Program("github.com/voidbox-run/voidbox/plugins/vmm-kvm", filepath.Base(program)))
}

// plugin starts the plugin as a run does, jail and all.
func plugin(t *testing.T, config string) vmm.VMM {
	t.Helper()
	return testmonitor.Start(t, filepath.Dir(lab.Path(t, program)), "kvm", config).VMM()
}

func TestContract(t *testing.T) {
	lab.RequireKVM(t)
	plugintest.VMM(t, plugintest.VMMHarness{
		Open:         func(t *testing.T) vmm.VMM { return plugin(t, "") },
		Capabilities: []string{vmm.CapPause, vmm.CapNet, vmm.CapFS, vmm.CapRelink},
		Kernel:       lab.Path(t, lab.GuestKernel),
		Initrd:       lab.Path(t, lab.GuestInitrd),
		Segment:      image.BootSegment,
		MemoryBytes:  128 << 20,
	})
}
