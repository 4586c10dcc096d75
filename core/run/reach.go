package run

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/core/agent"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/policy"
	"github.com/voidbox-run/voidbox/core/skill"
)

// reach lets a guest go to the hosts that its command-line agent needs for its model, beside what the file allows: who writes an egress
// block thinks of the agent's work, not of its provider. Nil means that there is nothing to add.
func (r *Run) reach(bound *plan.AgentRun, events event.Scope) func(context.Context, []string) error {
	n := bound.Sandbox.Network
	if n == nil || n.Egress == nil {
		return nil
	}
	return func(ctx context.Context, hosts []string) error {
		nets, err := r.networks.named(events.StageID())
		if err != nil || len(hosts) == 0 {
			return nil // a mock has no network, and reaches nothing
		}
		p, loopback, err := policy.WithHosts(n, nets[0].layout, llmOrigin(bound.LLM), hosts)
		if err != nil {
			return &ConfigError{Err: fmt.Errorf("sandbox %s: hosts of its model: %w", bound.Sandbox.Name, err)}
		}
		if len(loopback) > 0 {
			events.Emit(event.Warning{
				Message: fmt.Sprintf("the agent looks for its model at %s, which in a guest is the guest itself", event.Clean(strings.Join(loopback, ", "))),
				Remedy:  "if the model is on the host, declare a service for it in the network block, and make that address the base_url",
			})
		}
		if err := nets[0].update(ctx, p); err != nil {
			return fmt.Errorf("sandbox %s: let it reach its model: %w", bound.Sandbox.Name, err)
		}
		return nil
	}
}

// llmOrigin stands in events and verdicts for the file's line.
func llmOrigin(l *plan.LLM) string { return fmt.Sprintf("llm %s.%s", l.Plugin, l.Label) }

// LLMHosts asks a provider which hosts a command-line agent would need, and none if the agent is voidbox's own loop. Its model need
// not be reachable.
func LLMHosts(ctx context.Context, host Host, a *plan.Agent) ([]string, error) {
	plugin, err := host.Start(ctx, llmRequest(a.LLM))
	if err != nil {
		return nil, err
	}
	defer plugin.Close(ctx)
	mode := ""
	if a.Bind != nil {
		if bound, err := a.Bind(); err == nil {
			mode = bound.Mode
		}
	}
	if slices.ContainsFunc(a.Skills, func(s *plan.Skill) bool { return s.Plugin == skill.KindMCP }) {
		mode = agent.ModeCLI
	}
	return agent.Hosts(ctx, plugin.LLM(), mode, a.LLM.Model)
}
