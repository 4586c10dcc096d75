// Command sandbox-mock is a sandbox in memory, for tests and for a first look: a real shell language over a file system that
// is not there. It never touches the host.
package main

import (
	"github.com/voidbox-run/voidbox/plugins/sandbox-mock/internal/mock"
	"github.com/voidbox-run/voidbox/sdk"
)

func main() { sdk.Serve(plugin()) }

func plugin() sdk.Plugin {
	provider := mock.NewProvider()
	return sdk.Plugin{
		Name:        "mock",
		Version:     mock.Version,
		Description: "A hermetic sandbox in memory: a shell and a busybox without a machine.",
		Schema:      mock.Schema,
		Configure:   provider.Configure,
		Drain:       provider.Drain,
		Sandbox:     provider,
	}
}
