package run

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/image"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	boxes "github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/sdk/boot"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// box is a sandbox with its end. core/sandbox.Sandbox is one.
type box interface {
	sandbox.Sandbox
	Accelerator() string
	Stopped() <-chan struct{} // nil for one that cannot stop by itself
	Err() error
	Close(ctx context.Context) error
}

// bootVM is how VMs are made; tests have another way.
func bootVM(ctx context.Context, cfg boxes.VMConfig) (box, error) {
	s, err := boxes.NewVM(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// buildVM makes a sandbox of a VM, in a monitor process of its own.
func (r *Run) buildVM(ctx context.Context, spec *plan.Sandbox, b backend, events event.Scope, progress func(string)) (*environment, error) {
	images, err := r.images()
	if err != nil {
		return nil, &MachineError{Err: err}
	}
	root, err := r.imageOf(ctx, spec, images, progress)
	if err != nil {
		return nil, err
	}
	net, err := r.connect(ctx, spec, events)
	if err != nil {
		return nil, err
	}
	files, err := r.lend(ctx, spec)
	if err != nil {
		r.cleanUp(net.close)
		return nil, err
	}
	plugin, err := r.crew.own(r.ctx, ctx, pluginhost.Request{Kind: b.kind, Name: b.name, Instance: spec.Name, Config: settings(spec)})
	if err != nil {
		r.cleanUp(files.close)
		r.cleanUp(net.close)
		return nil, err
	}
	keys, err := r.holdKeys(ctx, spec, plugin.RuntimeDir(), events)
	if err != nil {
		r.cleanUp(plugin.Close)
		r.cleanUp(files.close)
		r.cleanUp(net.close)
		return nil, err
	}
	machine := vmSpec(spec)
	machine.Image = root
	machine.Network, machine.Shares, machine.SSH = net.guest(), files.shares, keys.ssh
	vm, err := r.cfg.newVM(image.WithProgress(ctx, progress), boxes.VMConfig{
		VMM: plugin.VMM(), Images: images, Agent: r.cfg.Agent, Dir: plugin.RuntimeDir(), Spec: machine, Links: slices.Concat(net.links(), files.links),
		Progress: func(s boxes.Stage) { progress(string(s)) },
	})
	if err != nil {
		r.cleanUp(keys.close)
		r.cleanUp(plugin.Close)
		r.cleanUp(files.close)
		r.cleanUp(net.close)
		return nil, fmt.Errorf("sandbox %s: %w", spec.Name, sorted(err))
	}
	able, err := r.cfg.Host.Capabilities(ctx, b.kind, b.name)
	if err != nil {
		able = nil // then it is not asked for what it may not be able to do
	}
	net.running(plugin.VMM(), able)
	return &environment{box: vm, backend: b, close: func(ctx context.Context) error {
		return errors.Join(vm.Close(ctx), keys.close(ctx), plugin.Close(ctx), files.close(ctx), net.close(ctx))
	}}, nil
}

func vmSpec(s *plan.Sandbox) boxes.Spec {
	return boxes.Spec{
		Name: s.Name, Hostname: s.Hostname, Image: s.Image, DiskBytes: s.DiskBytes, Kernel: s.Kernel, Initrd: s.Initrd, CPUs: s.CPUs, MemoryBytes: s.MemoryBytes,
		Env: s.Env, Main: s.Main, Args: s.Args, Restart: boot.Restart(s.Restart), User: s.User, WorkingDir: s.WorkingDir,
		Commands: s.Commands, Limits: sandbox.Limits(s.Limits), ReadyTimeout: s.ReadyTimeout,
	}
}

// store makes an entry of the cache.
func (r *Run) store(ctx context.Context, kind, key string, build func(ctx context.Context, dir string) error) (string, error) {
	images, err := r.images()
	if err != nil {
		return "", err
	}
	return images.Entry(ctx, kind, key, build)
}

// images opens the default cache where none was given. Only VMs and what is fetched need one.
func (r *Run) images() (*image.Cache, error) {
	r.imagesOnce.Do(func() {
		if r.cfg.Images == nil {
			r.cfg.Images, r.imagesErr = image.OpenCache("")
		}
	})
	return r.cfg.Images, r.imagesErr
}
