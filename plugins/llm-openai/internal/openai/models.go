package openai

import (
	"strings"

	"github.com/voidbox-run/voidbox/sdk/llm"
)

// The table of OpenAI's models, as of 2026-11-26; see core/price for what they cost. A model that is not in it works all the same.
const (
	defaultModel = "gpt-5.6-terra"
	priceList    = "openai"
)

var models = []llm.Model{
	{ID: "gpt-5.6-sol", Tools: true}, {ID: "gpt-5.6-terra", Tools: true}, {ID: "gpt-5.6-luna", Tools: true}, {ID: "gpt-5.5", Tools: true},
	{ID: "gpt-5.4", Tools: true}, {ID: "gpt-5.4-mini", Tools: true}, {ID: "gpt-5.4-nano", Tools: true}, {ID: "gpt-5.3-codex", Tools: true},
	{ID: "gpt-5-mini", Tools: true},
}

// reasons tells whether a model of OpenAI reasons, so that its reasoning can be asked for.
func reasons(model string) bool {
	for _, family := range []string{"gpt-5", "gpt-6", "o1", "o3", "o4", "codex"} {
		if strings.HasPrefix(model, family) {
			return true
		}
	}
	return false
}
