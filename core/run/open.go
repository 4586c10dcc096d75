package run

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/observe"
	"github.com/voidbox-run/voidbox/core/plan"
	boxes "github.com/voidbox-run/voidbox/core/sandbox"
	"github.com/voidbox-run/voidbox/sdk/errdef"
)

// Box is one sandbox outside of any run, for those who drive it themselves. Its owner closes it.
type Box struct {
	*environment
	run     *Run
	closing sync.Once
	err     error
}

// Open makes a sandbox that lives until Close. Of cfg it takes Host, Images, Sinks, Hard and KVM. The end of ctx ends the start,
// not the sandbox.
func Open(ctx context.Context, cfg Config, spec *plan.Sandbox) (*Box, error) {
	if cfg.Host == nil {
		return nil, errors.New("run: Config needs a Host")
	}
	if cfg.Plan == nil {
		cfg.Plan = &plan.Plan{}
	}
	r := &Run{cfg: cfg.withDefaults(), id: newID(), redact: plan.NewRedactor(cfg.Plan.Secrets)}
	r.target.sandbox = spec
	r.root = event.NewStream(r.id, observe.Redact(r.redact, cfg.Sinks...)).Root()
	r.ctx, r.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	r.crew = newCrew(r.cfg.Host, r.stop)
	b := &Box{run: r}
	if err := r.checkSandbox(spec); err != nil {
		return nil, errors.Join(err, b.Close(ctx))
	}
	env, err := r.build(ctx, spec, r.root.Stage(spec.Name))
	if err != nil {
		return nil, errors.Join(r.blame(err), b.Close(ctx))
	}
	b.environment = env
	return b, nil
}

// Died is closed when the sandbox, or a plugin below it, has ended by itself; Cause says why.
func (b *Box) Died() <-chan struct{} { return b.run.ctx.Done() }

// Cause says why Died was closed.
func (b *Box) Cause() error { return context.Cause(b.run.ctx) }

// Close shuts the sandbox down and ends its plugins. When it returns, nothing is left. Closing twice returns the first result.
func (b *Box) Close(ctx context.Context) error {
	b.closing.Do(func() {
		if b.environment != nil {
			b.err = b.environment.close(ctx)
		}
		b.run.stop(nil)
		if err := b.run.crew.close(ctx); b.err == nil {
			b.err = err
		}
	})
	return b.err
}

// Backend is the name of the plugin that the sandbox is made with.
func (b *Box) Backend() string { return b.environment.backend.name }

// Console copies the console of the VM to w from the oldest byte kept, and until the VM stops; errdef.ErrUnsupported without a VM.
func (b *Box) Console(ctx context.Context, w io.Writer) error {
	if made, ok := b.box.(*boxes.Sandbox); ok {
		return made.Console(ctx, true, w)
	}
	return errdef.New(errdef.ErrUnsupported, "a sandbox without a VM has no console")
}

// ImageID is the digest of the image that the sandbox was made of, if there is one.
func (b *Box) ImageID() string { return b.environment.imageID() }

// SocketPath is the host's socket of the guest's vsock ports; empty for a sandbox without a VM.
func (b *Box) SocketPath() string {
	if made, ok := b.box.(*boxes.Sandbox); ok {
		return made.SocketPath()
	}
	return ""
}

// Token authorises calls to the agent through SocketPath; nil for a sandbox without a VM.
func (b *Box) Token() []byte {
	if made, ok := b.box.(*boxes.Sandbox); ok {
		return made.Token()
	}
	return nil
}
