package mock

import (
	"context"
	"fmt"
	"sync"

	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

// maxSandboxes bounds what one process holds.
const maxSandboxes = 256

// Provider makes sandboxes in memory.
type Provider struct {
	mu        sync.Mutex
	responses []response
	sandboxes map[string]*Sandbox
	created   int
}

// NewProvider returns a provider without scripted responses.
func NewProvider() *Provider {
	return &Provider{sandboxes: map[string]*Sandbox{}}
}

// Configure takes the block of the configuration.
func (p *Provider) Configure(_ context.Context, c base.Config) error {
	responses, err := readResponses(c)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.responses = responses
	return nil
}

// Create implements sandbox.Provider. Each sandbox gets the scripted responses anew.
func (p *Provider) Create(_ context.Context, spec sandbox.Spec) (string, sandbox.Sandbox, error) {
	if err := spec.Check(); err != nil {
		return "", nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sandboxes) >= maxSandboxes {
		return "", nil, errdef.New(errdef.ErrExhausted, "%d sandboxes exist already", maxSandboxes)
	}
	s, err := newSandbox(spec, p.responses)
	if err != nil {
		return "", nil, err
	}
	p.created++
	id := fmt.Sprintf("mock-%d", p.created)
	p.sandboxes[id] = s
	return id, s, nil
}

// Destroy implements sandbox.Provider.
func (p *Provider) Destroy(_ context.Context, id string) error {
	p.mu.Lock()
	s := p.sandboxes[id]
	delete(p.sandboxes, id)
	p.mu.Unlock()
	if s != nil {
		s.close()
	}
	return nil
}

// Drain destroys what is left.
func (p *Provider) Drain(context.Context) error {
	p.mu.Lock()
	left := p.sandboxes
	p.sandboxes = map[string]*Sandbox{}
	p.mu.Unlock()
	for _, s := range left {
		s.close()
	}
	return nil
}
