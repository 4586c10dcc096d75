package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/core/agent"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	boxes "github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// A backend is what a sandbox is made of.
type backend struct {
	kind base.Kind // vmm or sandbox
	name string    // of the plugin
}

// Names of the VMM plugins that auto chooses from.
const (
	vmmKVM  = "kvm"
	vmmQEMU = "qemu"
)

// chooseBackend resolves the backend of a sandbox. Auto is KVM where that is usable, else QEMU; it is never anything else,
// since who asks for isolation must not get a mock in silence.
func (r *Run) chooseBackend(ctx context.Context, s *plan.Sandbox) (backend, error) {
	if s.Backend != "" && s.Backend != plan.BackendAuto {
		return r.namedBackend(ctx, s.Backend)
	}
	noKVM := r.cfg.kvm()
	if noKVM == nil {
		if noKVM = r.cfg.Host.Find(ctx, base.KindVMM, vmmKVM); noKVM == nil {
			return backend{base.KindVMM, vmmKVM}, nil
		}
	}
	noQEMU := r.cfg.Host.Find(ctx, base.KindVMM, vmmQEMU)
	if noQEMU == nil {
		return backend{base.KindVMM, vmmQEMU}, nil
	}
	err := errdef.New(errdef.ErrUnavailable, "sandbox %s: no backend can be used here: kvm: %v; qemu: %v", s.Name, noKVM, noQEMU).
		WithReason("no_backend").WithRemedy("run `voidbox doctor`, which says what is missing and how to mend it")
	return backend{}, &MachineError{Err: err}
}

func (r *Run) namedBackend(ctx context.Context, name string) (backend, error) {
	notVMM := r.cfg.Host.Find(ctx, base.KindVMM, name)
	if notVMM == nil {
		return backend{base.KindVMM, name}, nil
	}
	notSandbox := r.cfg.Host.Find(ctx, base.KindSandbox, name)
	if notSandbox == nil {
		return backend{base.KindSandbox, name}, nil
	}
	// The one that is there, but cannot be used, has more to say than the one that is missing.
	err := sorted(notVMM)
	var e *errdef.Error
	if errors.As(notVMM, &e) && e.Reason == pluginhost.ReasonNotFound {
		err = sorted(notSandbox)
	}
	return backend{}, fmt.Errorf("backend %s: %w", name, err)
}

// checkSandbox finds what a sandbox asks for and cannot get.
func (r *Run) checkSandbox(s *plan.Sandbox) error {
	b, err := r.chooseBackend(r.ctx, s)
	if err != nil {
		return err
	}
	if err := checkKeys(s); err != nil {
		return &ConfigError{Err: err}
	}
	if b.kind == base.KindSandbox {
		return nil
	}
	if s.Network != nil {
		err = r.checkNetwork(s, b)
	}
	if err == nil && len(s.Mounts) > 0 {
		err = r.checkMounts(s, b)
	}
	if err == nil {
		return nil
	}
	return &ConfigError{Err: err}
}

// environment is a sandbox with what it stands on.
type environment struct {
	box
	backend backend
	// close ends the sandbox and everything below it. It must be called once.
	close func(ctx context.Context) error
}

// imageID is the digest of the image that it was made of; empty where there is none.
func (e *environment) imageID() string {
	if made, ok := e.box.(*boxes.Sandbox); ok {
		return made.ImageID()
	}
	return ""
}

// watch returns a context that ends when the sandbox stops by itself, as when its kernel panics, with the reason as its cause.
func (e *environment) watch(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		select {
		case <-e.Stopped():
			cancel(&agent.SandboxError{Err: e.Err()})
		case <-ctx.Done():
		}
	})
	return ctx, func() { cancel(nil); done.Wait() }
}

// build makes the sandbox of a stage.
func (r *Run) build(ctx context.Context, spec *plan.Sandbox, events event.Scope) (*environment, error) {
	start := time.Now()
	b, err := r.chooseBackend(ctx, spec)
	if err != nil {
		return nil, err
	}
	progress := func(step string) {
		events.Emit(event.SandboxProgress{Sandbox: spec.Name, Step: event.Clean(step)})
	}
	build := r.buildVM
	if b.kind == base.KindSandbox {
		build = r.buildPlugin
		warnOfMissing(spec, b, events)
	}
	progress(fmt.Sprintf("starting on %s", b.name))
	env, err := build(ctx, spec, b, events, progress)
	if err != nil {
		return nil, err
	}
	info, err := env.Info(ctx)
	if err != nil {
		r.cleanUp(env.close)
		return nil, fmt.Errorf("look at the new sandbox: %w", err)
	}
	r.roots.Store(events.StageID(), env.imageID())
	events.Emit(event.SandboxReady{
		Sandbox: spec.Name, Backend: b.name, Accelerator: env.Accelerator(), Kernel: event.Clean(info.Kernel), Image: env.imageID(), Took: time.Since(start),
	})
	return env, nil
}

// rootOf is the digest of the image that a stage's last sandbox was made of.
func (r *Run) rootOf(stage string) string {
	id, _ := r.roots.Load(stage)
	text, _ := id.(string)
	return text
}

// warnOfMissing names what a sandbox asks for and does not get from a sandbox plugin, which has the sandbox contract only.
func warnOfMissing(spec *plan.Sandbox, b backend, events event.Scope) {
	if len(spec.Mounts) > 0 {
		events.Emit(event.Warning{Message: fmt.Sprintf("sandbox %s: backend %s has no mounts; %s will not be there", spec.Name, b.name, spec.Mounts[0].Target)})
	}
	if len(spec.Packages) > 0 {
		events.Emit(event.Warning{Message: fmt.Sprintf("sandbox %s: backend %s has no packages; %s will not be there", spec.Name, b.name, spec.Packages[0])})
	}
	if len(spec.DeployKeys) > 0 || spec.SSHAgent {
		events.Emit(event.Warning{Message: fmt.Sprintf("sandbox %s: backend %s has no SSH agent; its keys cannot be used", spec.Name, b.name)})
	}
	if spec.Image != "" && spec.Image != plan.ImageBase {
		events.Emit(event.Warning{Message: fmt.Sprintf("sandbox %s: backend %s has no images; %s will not be there", spec.Name, b.name, spec.Image)})
	}
	if len(spec.Commands) > 0 {
		events.Emit(event.Warning{Message: fmt.Sprintf("sandbox %s: backend %s has no list of commands; all may be started", spec.Name, b.name)})
	}
	if spec.Network != nil {
		events.Emit(event.Warning{Message: fmt.Sprintf("sandbox %s: backend %s has no network", spec.Name, b.name)})
	}
}

// buildPlugin makes a sandbox without a VM.
func (r *Run) buildPlugin(ctx context.Context, spec *plan.Sandbox, b backend, _ event.Scope, _ func(string)) (*environment, error) {
	key := struct{ name, settings string }{b.name, string(settings(spec))}
	plugin, err := r.crew.shared(r.ctx, ctx, key, pluginhost.Request{Kind: b.kind, Name: b.name, Instance: spec.Name, Config: settings(spec)})
	if err != nil {
		return nil, err
	}
	made, err := boxes.NewPlugin(ctx, plugin.Sandbox(), sandbox.Spec{
		Name: spec.Name, Hostname: spec.Hostname, CPUs: spec.CPUs, MemoryBytes: spec.MemoryBytes, Env: spec.Env, Main: spec.Main,
	})
	if err != nil {
		return nil, err
	}
	return &environment{box: made, backend: b, close: func(ctx context.Context) error {
		if err := made.Close(ctx); err != nil && plugin.Err() == nil {
			return err
		}
		return nil
	}}, nil
}

func settings(spec *plan.Sandbox) json.RawMessage {
	if spec.Settings == nil {
		return nil
	}
	return spec.Settings.Config
}
