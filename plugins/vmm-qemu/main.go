// Command voidbox-vmm-qemu is the VMM plugin that works everywhere: QEMU's microvm, on KVM, on HVF or by plain emulation.
package main

import (
	"context"

	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/monitor"
	"github.com/voidbox-run/voidbox/plugins/vmm-qemu/internal/qemu"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
)

func main() {
	m := monitor.New()
	sdk.Serve(sdk.Plugin{
		Name:         "qemu",
		Version:      "0.1.0",
		Description:  "QEMU microvm, with hardware virtualization where it is usable and by emulation elsewhere.",
		Capabilities: monitor.Capabilities(),
		Env:          []string{"PATH"}, // where QEMU is looked for
		Schema: base.Schema{Attributes: []base.Attribute{
			{Name: "program", Type: "string", Description: "Path or name of QEMU; the usual one by default."},
			{Name: "accelerator", Type: "string", Description: "auto, kvm, hvf or tcg; auto by default."},
		}},
		Configure: func(_ context.Context, c base.Config) error {
			var block struct{ Program, Accelerator string }
			if err := c.Decode(&block); err != nil {
				return err
			}
			// Said here, before anybody fetches a kernel for a VM that cannot be.
			if _, err := qemu.Find(block.Program); err != nil {
				return err
			}
			if _, err := qemu.Choose(block.Accelerator); err != nil {
				return err
			}
			m.Configure(monitor.Options{Program: block.Program, Accelerator: block.Accelerator, RuntimeDir: c.RuntimeDir})
			return nil
		},
		Drain: m.Drain,
		VMM:   m,
	})
}
