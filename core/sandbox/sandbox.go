package sandbox

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// Sandbox is a sandbox that is ready, whatever it is made of. Its owner closes it.
type Sandbox struct {
	sandbox.Sandbox
	made backing

	closing  sync.Once
	closeErr error
}

// backing is what a Sandbox stands on.
type backing interface {
	accelerator() string
	socketPath() string
	imageID() string
	console(ctx context.Context, follow bool, w io.Writer) error
	stopped() <-chan struct{}
	err() error
	close(ctx context.Context, s sandbox.Sandbox) error
}

// Accelerator says what executes the guest: kvm, hvf or tcg; empty for a sandbox without a VM.
func (s *Sandbox) Accelerator() string { return s.made.accelerator() }

// ImageID is the digest of the image that the sandbox was made of; empty for the built-in system, raw disks and sandboxes without a VM.
func (s *Sandbox) ImageID() string { return s.made.imageID() }

// SocketPath is the host's socket of the guest's vsock ports: connect, write "CONNECT <port>\n", read "OK <n>\n". The agent
// serves the sandbox contract on port boot.AgentPort to who knows the token. Empty for a sandbox without a VM.
func (s *Sandbox) SocketPath() string { return s.made.socketPath() }

// Token authorises calls to the agent through SocketPath; nil for a sandbox without a VM.
func (s *Sandbox) Token() []byte {
	if v, ok := s.made.(*guest); ok {
		return append([]byte(nil), v.token...)
	}
	return nil
}

// Console copies the console to w from the oldest byte kept; with follow until the VM stops. A sandbox without a VM has none
// (errdef.ErrUnsupported).
func (s *Sandbox) Console(ctx context.Context, follow bool, w io.Writer) error {
	return s.made.console(ctx, follow, w)
}

// Stopped is closed when the VM has ended, for whatever reason; never for a sandbox without a VM.
func (s *Sandbox) Stopped() <-chan struct{} { return s.made.stopped() }

// Err says why the VM has ended; nil while it runs.
func (s *Sandbox) Err() error { return s.made.err() }

// Close shuts the sandbox down: the main process first, then all others, then the VM. When ctx ends, what still runs is
// killed. When Close returns, nothing is left. Closing twice returns the first result.
func (s *Sandbox) Close(ctx context.Context) error {
	s.closing.Do(func() { s.closeErr = s.made.close(ctx, s.Sandbox) })
	return s.closeErr
}

// NewPlugin makes a sandbox of a sandbox plugin.
func NewPlugin(ctx context.Context, p sandbox.Provider, spec sandbox.Spec) (*Sandbox, error) {
	if spec.Hostname == "" {
		spec.Hostname = machineName(spec.Name)
	}
	id, sb, err := p.Create(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("create sandbox %s: %w", spec.Name, err)
	}
	return &Sandbox{Sandbox: sb, made: &provided{provider: p, id: id}}, nil
}

// provided is a sandbox of a plugin.
type provided struct {
	provider sandbox.Provider
	id       string
}

func (*provided) accelerator() string      { return "" }
func (*provided) socketPath() string       { return "" }
func (*provided) imageID() string          { return "" }
func (*provided) stopped() <-chan struct{} { return nil }
func (*provided) err() error               { return nil }

func (*provided) console(context.Context, bool, io.Writer) error {
	return errdef.New(errdef.ErrUnsupported, "a sandbox without a VM has no console")
}

func (p *provided) close(ctx context.Context, _ sandbox.Sandbox) error {
	if err := p.provider.Destroy(ctx, p.id); err != nil {
		return fmt.Errorf("destroy sandbox %s: %w", p.id, err)
	}
	return nil
}
