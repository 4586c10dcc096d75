package main_test

import (
	"os"
	"testing"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testmonitor"
	"github.com/voidbox-run/voidbox/internal/testvm"
	"github.com/voidbox-run/voidbox/sdk/plugintest"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

func TestMain(m *testing.M) { os.Exit(testbin.Run(m)) }

func TestContract(t *testing.T) {
	means := testvm.Require(t)
	initrd, err := means.Cache.Initramfs(t.Context(), image.InitramfsSpec{Kernel: means.Kernel, Agent: testvm.Agent(t)})
	if err != nil {
		t.Fatal(err)
	}
	plugintest.VMM(t, plugintest.VMMHarness{
		Open:         func(t *testing.T) vmm.VMM { return testmonitor.StartImmortal(t, testbin.Dir(t), "qemu", "").VMM() },
		Capabilities: []string{vmm.CapPause, vmm.CapNet, vmm.CapFS, vmm.CapRelink},
		Kernel:       means.Kernel.Path,
		Initrd:       initrd,
		Segment:      image.BootSegment,
	})
}
