package run

import (
	"context"
	"fmt"

	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// VMRequest is what a VM is made of.
type VMRequest struct {
	VMM        vmm.VMM // a monitor of its own
	Images     *image.Cache
	Sandbox    *plan.Sandbox
	RuntimeDir string            // private directory for sockets
	Progress   func(step string) // told of the steps on the way
}

// VM is a running VM whose guest agent has answered.
type VM interface {
	sandbox.Sandbox
	Accelerator() string
	// Close shuts the guest down and ends the VM.
	Close(ctx context.Context) error
}

// buildVM makes a sandbox of a VM, in a monitor process of its own.
func (r *Run) buildVM(ctx context.Context, spec *plan.Sandbox, b backend, progress func(string)) (*environment, error) {
	images, err := r.images()
	if err != nil {
		return nil, err
	}
	plugin, err := r.crew.own(r.ctx, ctx, pluginhost.Request{Kind: b.kind, Name: b.name, Instance: spec.Name, Config: settings(spec)})
	if err != nil {
		return nil, err
	}
	vm, err := r.cfg.NewVM(ctx, VMRequest{
		VMM: plugin.VMM(), Images: images, Sandbox: spec, RuntimeDir: plugin.RuntimeDir(), Progress: progress,
	})
	if err != nil {
		r.cleanUp(plugin.Close)
		return nil, fmt.Errorf("sandbox %s: %w", spec.Name, sorted(err))
	}
	return &environment{Sandbox: vm, backend: b, accelerator: vm.Accelerator(), close: func(ctx context.Context) error {
		err := vm.Close(ctx)
		if closeErr := plugin.Close(ctx); err == nil {
			err = closeErr
		}
		return err
	}}, nil
}

// images opens the default cache where none was given. Only VMs need one.
func (r *Run) images() (*image.Cache, error) {
	r.imagesOnce.Do(func() {
		if r.cfg.Images == nil {
			r.cfg.Images, r.imagesErr = image.OpenCache("")
		}
	})
	return r.cfg.Images, r.imagesErr
}

func bootVM(context.Context, VMRequest) (VM, error) {
	return nil, fmt.Errorf("core/sandbox is not wired up")
}
