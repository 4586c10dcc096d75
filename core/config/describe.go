package config

import (
	"context"
	"sync"

	"github.com/hashicorp/hcl/v2"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/base"
)

// builtinBackends are the backends that voidbox comes with.
var builtinBackends = []string{"kvm", "qemu", plan.BackendMock}

// vmmBackends are those of them that are VMM plugins.
var vmmBackends = map[string]bool{"kvm": true, "qemu": true}

// describer asks plugins for their descriptions, each once. Since a plugin takes some milliseconds to answer, those whose
// names need no evaluation are asked ahead, all at once.
type describer struct {
	ctx context.Context
	ask func(ctx context.Context, kind base.Kind, name string) (base.Description, error)

	mu      sync.Mutex
	answers map[pluginID]func() (base.Description, error)
	wg      sync.WaitGroup
}

type pluginID struct {
	kind base.Kind
	name string
}

func newDescriber(ctx context.Context, ask func(context.Context, base.Kind, string) (base.Description, error)) *describer {
	return &describer{ctx: ctx, ask: ask, answers: map[pluginID]func() (base.Description, error){}}
}

// enabled tells whether plugins can be asked at all.
func (d *describer) enabled() bool { return d.ask != nil }

func (d *describer) describe(kind base.Kind, name string) (base.Description, error) {
	id := pluginID{kind, name}
	d.mu.Lock()
	answer := d.answers[id]
	if answer == nil {
		answer = sync.OnceValues(func() (base.Description, error) { return d.ask(d.ctx, kind, name) })
		d.answers[id] = answer
	}
	d.mu.Unlock()
	return answer()
}

// prefetch asks the plugins that blocks name by label.
func (d *describer) prefetch(blocks hcl.Blocks) {
	if !d.enabled() {
		return
	}
	seen := map[pluginID]bool{}
	for _, b := range blocks {
		id := pluginID{}
		switch {
		case b.Type == "llm":
			id = pluginID{base.KindLLM, b.Labels[0]}
		case b.Type == "skill" && !isBuiltInSkill(b.Labels[0]):
			id = pluginID{base.KindSkill, b.Labels[0]}
		default:
			continue
		}
		if !seen[id] && len(seen) < maxPrefetch {
			seen[id] = true
			d.wg.Go(func() { _, _ = d.describe(id.kind, id.name) })
		}
	}
}

// maxPrefetch bounds how many plugins are asked at once.
const maxPrefetch = 16

// wait returns when no question is open any more.
func (d *describer) wait() { d.wg.Wait() }

// describeBackend describes the plugin behind a backend: a VMM for those that are known to be one, else a sandbox, else a VMM.
func (l *loader) describeBackend(name string) (base.Description, error) {
	if !l.describer.enabled() {
		return base.Description{}, nil
	}
	if vmmBackends[name] {
		return l.describer.describe(base.KindVMM, name)
	}
	desc, err := l.describer.describe(base.KindSandbox, name)
	if err == nil || name == plan.BackendMock {
		return desc, err
	}
	if vmm, vmmErr := l.describer.describe(base.KindVMM, name); vmmErr == nil {
		return vmm, nil
	}
	return desc, err
}
