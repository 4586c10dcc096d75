// Command voidbox-llm-replay is the LLM plugin that plays recorded conversations, so that demos and tests need no key and no
// network. It can also ask a scripted model server.
package main

import (
	"github.com/voidbox-run/voidbox/plugins/llm-replay/internal/replay"
	"github.com/voidbox-run/voidbox/sdk"
)

func main() {
	sdk.Serve(replay.Plugin())
}
