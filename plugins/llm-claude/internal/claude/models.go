package claude

import (
	"strings"

	"github.com/voidbox-run/voidbox/sdk/llm"
)

// The table of models, as of 2026-11-26, from the overviews of models at platform.claude.com and from what Claude Code 2.1.330 prints of
// them; what is left out is not known. A model that is not in it works all the same, with unknownOutput as its limit. Prices are not the plugin's
// business: core/price holds them, under the name of priceList.
const (
	defaultModel  = "claude-sonnet-5-5"
	unknownOutput = 8192 // every model since Claude 3.5 writes as much
	priceList     = "anthropic"
)

var models = []llm.Model{
	{ID: "claude-opus-5-5", ContextTokens: 1_000_000, MaxOutputTokens: 128_000, Tools: true},
	{ID: "claude-sonnet-5-5", ContextTokens: 1_000_000, MaxOutputTokens: 128_000, Tools: true},
	{ID: "claude-haiku-5-5", Tools: true},
	{ID: "claude-opus-5", ContextTokens: 1_000_000, MaxOutputTokens: 128_000, Tools: true},
	{ID: "claude-sonnet-5", ContextTokens: 1_000_000, MaxOutputTokens: 128_000, Tools: true},
	{ID: "claude-opus-4-5", ContextTokens: 200_000, MaxOutputTokens: 64_000, Tools: true},
	{ID: "claude-sonnet-4-5", ContextTokens: 200_000, MaxOutputTokens: 64_000, Tools: true},
	{ID: "claude-haiku-4-5", ContextTokens: 200_000, MaxOutputTokens: 64_000, Tools: true},
}

// outputLimit is what a model writes at most in one turn. A dated name, such as claude-haiku-4-5-20251001, is that of its model.
func outputLimit(model string) int {
	limit, longest := unknownOutput, 0
	for _, m := range models {
		if m.MaxOutputTokens > 0 && (model == m.ID || strings.HasPrefix(model, m.ID+"-2")) && len(m.ID) > longest {
			limit, longest = m.MaxOutputTokens, len(m.ID)
		}
	}
	return limit
}
