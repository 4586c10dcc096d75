package agent

import (
	"context"

	"github.com/voidbox-run/voidbox/sdk/llm"
)

// Preview asks a provider how its command-line agent would be started in a mode and for a model: which hosts and credentials it needs.
// An agent that is not a command-line one needs none, since it speaks from the host; its plan is empty.
func Preview(ctx context.Context, provider llm.LLM, mode, model string) (llm.CLIPlan, error) {
	d, err := provider.Describe(ctx)
	if err != nil {
		return llm.CLIPlan{}, err
	}
	if mode, err = chooseMode(mode, d); err != nil || mode != ModeCLI {
		return llm.CLIPlan{}, err
	}
	return provider.PlanCLI(ctx, llm.CLIRequest{Prompt: "what is needed?", Model: firstOf(model, d.DefaultModel), Home: "/", WorkingDir: "/"})
}

// Hosts are the hosts, host:port each, that a provider's command-line agent must reach from its sandbox. One that needs a credential
// reaches its provider through the broker, and needs none.
func Hosts(ctx context.Context, provider llm.LLM, mode, model string) ([]string, error) {
	p, err := Preview(ctx, provider, mode, model)
	if err != nil || len(p.Credentials) > 0 {
		return nil, err
	}
	return p.Hosts, nil
}
