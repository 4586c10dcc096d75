package main_test

import (
	"testing"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/internal/testmonitor"
	"github.com/voidbox-run/voidbox/sdk/plugintest"
	"github.com/voidbox-run/voidbox/sdk/vmm"
	"github.com/voidbox-run/voidbox/test/lab"
)

// TestContractWithVhost is TestContract with the kernel's own socket device.
func TestContractWithVhost(t *testing.T) {
	lab.RequireVhostVsock(t)
	plugintest.VMM(t, plugintest.VMMHarness{
		Open: func(t *testing.T) vmm.VMM {
			return testmonitor.StartImmortal(t, programDir(t), "kvm", `{"vsock": "vhost"}`).VMM()
		},
		Capabilities: []string{vmm.CapPause, vmm.CapNet, vmm.CapFS, vmm.CapRelink},
		Kernel:       lab.Path(t, lab.GuestKernel),
		Initrd:       lab.Path(t, lab.GuestInitrd),
		Segment:      image.BootSegment,
		MemoryBytes:  128 << 20,
	})
}
