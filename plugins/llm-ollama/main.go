// Command voidbox-llm-ollama is the LLM plugin for models that Ollama runs on a machine of the user's own: Claude Code inside the
// sandbox, by way of Ollama's Anthropic-compatible endpoint, or Ollama's own API for the native loop.
package main

import (
	"github.com/voidbox-run/voidbox/plugins/llm-ollama/internal/ollama"
	"github.com/voidbox-run/voidbox/sdk"
)

func main() {
	sdk.Serve(ollama.Plugin())
}
