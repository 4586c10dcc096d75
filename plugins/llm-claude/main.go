// Command voidbox-llm-claude is the LLM plugin for Anthropic's models: Claude Code inside the sandbox, or the Messages API for the
// native loop.
package main

import (
	"github.com/voidbox-run/voidbox/plugins/llm-claude/internal/claude"
	"github.com/voidbox-run/voidbox/sdk"
)

func main() {
	sdk.Serve(claude.Plugin())
}
