package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/network"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
	"github.com/voidbox-run/voidbox/sdk/share"
	"github.com/voidbox-run/voidbox/sdk/skill"
	"github.com/voidbox-run/voidbox/sdk/vmm"
)

// Host starts plugins. Plugins makes one of a pluginhost.Host.
type Host interface {
	// Start starts a plugin of its own for the request and configures it.
	Start(ctx context.Context, req pluginhost.Request) (Plugin, error)
	// Find says that a plugin is there and may be used.
	Find(ctx context.Context, kind base.Kind, name string) error
	// Capabilities are those that the plugin declares.
	Capabilities(ctx context.Context, kind base.Kind, name string) ([]string, error)
	// PinnedImage is the ID that the image of a list of packages must have; empty means any, which RememberImage then pins.
	PinnedImage(packages string) string
	RememberImage(packages, id string) error
}

// Plugin is one plugin process. pluginhost.Instance implements it.
type Plugin interface {
	LLM() llm.LLM
	Network() network.Network
	Sandbox() sandbox.Provider
	Share() share.Share
	Skill() skill.Skill
	VMM() vmm.VMM
	RuntimeDir() string
	Exited() <-chan struct{}
	Err() error
	Close(ctx context.Context) error
}

// Plugins is the Host of a plugin host.
func Plugins(h *pluginhost.Host) Host { return processes{h} }

type processes struct{ host *pluginhost.Host }

func (p processes) Start(ctx context.Context, req pluginhost.Request) (Plugin, error) {
	inst, err := p.host.Start(ctx, req)
	if err != nil {
		return nil, err
	}
	return inst, nil
}

func (p processes) Find(ctx context.Context, kind base.Kind, name string) error {
	_, err := p.host.Describe(ctx, kind, name)
	return err
}

func (p processes) Capabilities(ctx context.Context, kind base.Kind, name string) ([]string, error) {
	found, err := p.host.Describe(ctx, kind, name)
	return found.Description.Capabilities, err
}

func (p processes) PinnedImage(packages string) string { return p.host.PinnedImage(packages) }
func (p processes) RememberImage(packages, id string) error {
	return p.host.RememberImage(packages, id)
}

// A crew is the plugins of a run. It starts each at most once for a key, watches them all, and closes them together.
type crew struct {
	host Host
	died func(error) // told of the first plugin that dies

	mu      sync.Mutex
	members map[any]*member
	opened  []*member // in the order in which they came up
	closed  chan struct{}
	watches sync.WaitGroup
}

// member is a plugin that is being started, or has been.
type member struct {
	name   string
	done   chan struct{} // closed when plugin or err is set
	plugin Plugin
	err    error

	died  func(*PluginError) // told of its death in the crew's place; may be nil
	spare atomic.Bool        // another would take its place
}

func newCrew(h Host, died func(error)) *crew {
	return &crew{host: h, died: died, members: map[any]*member{}, closed: make(chan struct{})}
}

// shared returns the plugin of a key, and starts it if nobody has. Its start belongs to the run, whose context is ctx; waiting
// for it ends with the caller's.
func (c *crew) shared(run, ctx context.Context, key any, req pluginhost.Request) (Plugin, error) {
	return c.begin(run, key, req).wait(ctx)
}

func (m *member) wait(ctx context.Context) (Plugin, error) {
	select {
	case <-m.done:
		return m.plugin, m.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// begin starts the plugin of a key in the background, once.
func (c *crew) begin(run context.Context, key any, req pluginhost.Request) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[key]
	if m == nil {
		m = c.add(run, req, nil)
		c.members[key] = m
	}
	return m
}

// add starts a plugin in the background.
func (c *crew) add(run context.Context, req pluginhost.Request, died func(*PluginError)) *member {
	m := &member{name: fmt.Sprintf("%s-%s", req.Kind, req.Name), done: make(chan struct{}), died: died}
	c.watches.Go(func() { c.start(run, m, req) })
	return m
}

// own starts a plugin that nobody else shares. The caller closes it.
func (c *crew) own(run, ctx context.Context, req pluginhost.Request) (Plugin, error) {
	return c.add(run, req, nil).wait(ctx)
}

// replaceable is own for a plugin in whose place another may be put: died is told of its death, and tells the crew if it finds
// no other.
func (c *crew) replaceable(run, ctx context.Context, req pluginhost.Request, died func(*PluginError)) (*member, error) {
	m := c.add(run, req, died)
	_, err := m.wait(ctx)
	return m, err
}

func (c *crew) start(ctx context.Context, m *member, req pluginhost.Request) {
	m.plugin, m.err = c.host.Start(ctx, req)
	m.err = notStarted(req.Kind, m.err)
	if m.err == nil {
		c.mu.Lock()
		c.opened = append(c.opened, m)
		c.mu.Unlock()
	}
	close(m.done)
	if m.err != nil {
		return
	}
	select {
	case <-m.plugin.Exited():
		switch err := m.plugin.Err(); {
		case err == nil:
		case m.died != nil:
			m.died(pluginDied(m.name, err))
		default:
			c.died(pluginDied(m.name, err))
		}
	case <-c.closed:
	}
}

// dead returns a PluginError when a plugin has died that is not replaced, perhaps so recently that nobody was told yet.
func (c *crew) dead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.opened {
		if err := m.plugin.Err(); err != nil && !m.spare.Load() {
			return pluginDied(m.name, err)
		}
	}
	return nil
}

// close ends every plugin and waits for all that watches them. They end side by side: what one plugin made for another, a
// sandbox or a VM, was closed with its stage, so that none needs another any more.
func (c *crew) close(ctx context.Context) error {
	close(c.closed)
	c.watches.Wait()
	errs := make([]error, len(c.opened))
	var closing sync.WaitGroup
	for i, m := range c.opened {
		closing.Go(func() {
			if err := m.plugin.Close(ctx); err != nil {
				errs[i] = fmt.Errorf("close plugin %s: %w", m.name, err)
			}
		})
	}
	closing.Wait()
	return errors.Join(errs...)
}

func skillRequest(s *plan.Skill) pluginhost.Request {
	return pluginhost.Request{Kind: base.KindSkill, Name: s.Plugin, Instance: s.Label, Config: s.Config}
}

func llmRequest(l *plan.LLM) pluginhost.Request {
	return pluginhost.Request{Kind: base.KindLLM, Name: l.Plugin, Instance: l.Label, Config: l.Config}
}
