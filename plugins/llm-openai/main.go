// Command voidbox-llm-openai is the LLM plugin for OpenAI and for every server that speaks its APIs (OpenRouter, vLLM, LM Studio):
// Codex inside the sandbox, or Responses and Chat Completions for the native loop.
package main

import (
	"github.com/voidbox-run/voidbox/plugins/llm-openai/internal/openai"
	"github.com/voidbox-run/voidbox/sdk"
)

func main() {
	sdk.Serve(openai.Plugin())
}
