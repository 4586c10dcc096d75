// Command voidbox-llm-echo is a plugin for voidbox that nobody needs: a model provider that says what it was told. It shows
// what a plugin outside of voidbox's own repository consists of.
package main

import "github.com/voidbox-run/voidbox/sdk"

func main() {
	p := &provider{prefix: "echo: "}
	sdk.Serve(sdk.Plugin{
		Name:        "echo",
		Version:     "1.0.0",
		Description: "Repeats the last thing it was told.",
		Schema:      schema,
		Configure:   p.configure,
		LLM:         p,
	})
}
