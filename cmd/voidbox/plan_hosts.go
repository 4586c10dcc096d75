package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/run"
)

// askHosts finds out which hosts the sandboxes of command-line agents are let through to for their models. Only where an egress block
// keeps them from others is that worth knowing.
func (g *graph) askHosts(ctx context.Context, p *project) {
	for i, a := range p.plan.Agents {
		if n := a.Sandbox.Network; n == nil || n.Egress == nil {
			continue
		}
		hosts, err := run.LLMHosts(ctx, run.Plugins(p.host), a)
		for _, h := range hosts {
			g.Agents[i].LLMHosts = append(g.Agents[i].LLMHosts, event.Clean(h))
		}
		g.Agents[i].noHosts = err
	}
}

func (a graphAgent) writeHosts(w io.Writer) {
	switch {
	case a.noHosts != nil:
		fmt.Fprintf(w, "  its sandbox may also reach the hosts of its model, which are not known yet: %s\n", event.Clean(a.noHosts.Error()))
	case len(a.LLMHosts) > 0:
		fmt.Fprintf(w, "  its sandbox may also reach %s, for its model\n", strings.Join(a.LLMHosts, ", "))
	}
}
