// Command voidbox-network-tap is the network plugin that ties a guest to a TAP device of the host: the guest is a machine on the host's
// network, and what it may do there is the host's to say. It needs CAP_NET_ADMIN, or a device that belongs to its user.
package main

import (
	"context"
	"runtime"

	"github.com/voidbox-run/voidbox/plugins/net-tap/internal/wire"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/network"
)

func main() { sdk.Serve(plugin(wire.New())) }

func plugin(n *wire.Network) sdk.Plugin {
	return sdk.Plugin{
		Name:        "tap",
		Version:     "0.1.0",
		Description: "A TAP device of the host: needs CAP_NET_ADMIN, or a device of the user's own; enforces no policy, which is the host's then.",
		Schema: base.Schema{Attributes: []base.Attribute{
			{Name: "device", Type: "string", Description: "TAP device, used as it is if it exists, else made and gone with the sandbox; by default one that is made, with a free name."},
			{Name: "bridge", Type: "string", Description: "Bridge of the host that the device is a port of. Without one, a device that is made gets the guest's gateway addresses."},
		}},
		Configure: func(_ context.Context, c base.Config) error {
			runtime.GOMAXPROCS(1) // one goroutine moves everything (package poll)
			opt := wire.Options{RuntimeDir: c.RuntimeDir}
			if err := c.Decode(&opt); err != nil {
				return err
			}
			return n.Configure(opt)
		},
		Drain:   n.Drain,
		Network: network.Network(n),
	}
}
