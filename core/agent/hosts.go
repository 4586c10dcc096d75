package agent

import (
	"context"

	"github.com/voidbox-run/voidbox/sdk/llm"
)

// Hosts asks a provider which hosts, host:port each, its command-line agent needs in a mode and for a model, as Run would. An agent
// that is not a command-line one needs none: it speaks from the host.
func Hosts(ctx context.Context, provider llm.LLM, mode, model string) ([]string, error) {
	d, err := provider.Describe(ctx)
	if err != nil {
		return nil, err
	}
	if mode, err = chooseMode(mode, d); err != nil || mode != ModeCLI {
		return nil, err
	}
	p, err := provider.PlanCLI(ctx, llm.CLIRequest{Prompt: "which hosts?", Model: firstOf(model, d.DefaultModel), Home: "/", WorkingDir: "/"})
	return p.Hosts, err
}
