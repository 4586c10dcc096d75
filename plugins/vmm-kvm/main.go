// Command voidbox-vmm-kvm is the VMM plugin that this project is built around: a monitor of its own on Linux's KVM, in a jail.
package main

import (
	"context"

	"github.com/voidbox-run/voidbox/plugins/vmm-kvm/internal/monitor"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

func main() {
	m := monitor.New()
	sdk.Serve(sdk.Plugin{
		Name:         "kvm",
		Version:      "0.1.0",
		Description:  "VoidBox's own monitor on KVM: quick to start, small, and jailed.",
		Capabilities: []string{vmm.CapPause, vmm.CapNet, vmm.CapFS, vmm.CapRelink},
		Namespaces:   []string{"user", "net"}, // nothing to gain in either
		Schema: base.Schema{Attributes: []base.Attribute{
			{Name: "huge_pages", Type: "bool", Description: "Back guest memory with transparent huge pages: a tenth of the faults while it boots, for memory beside what the guest touches; true by default."},
			{Name: "vsock", Type: "string", Description: "Who serves the socket device: \"user\", this process, or \"vhost\", the kernel, for one VM of the host at a time; user by default."},
		}},
		Configure: func(_ context.Context, c base.Config) error {
			opt := monitor.Options{RuntimeDir: c.RuntimeDir, HugePages: true}
			if err := c.Decode(&opt); err != nil {
				return err
			}
			return m.Configure(opt)
		},
		Drain: m.Drain,
		VMM:   m,
	})
}
