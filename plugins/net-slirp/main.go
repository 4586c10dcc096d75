// Command voidbox-network-slirp is the network plugin that needs no privileges: a TCP/IP stack in user space in front of the host's
// sockets, with an egress policy that is decided outside the guest.
package main

import (
	"context"
	"runtime"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/slirp"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/network"
)

func main() {
	n := slirp.New()
	sdk.Serve(sdk.Plugin{
		Name:         "slirp",
		Version:      "0.1.0",
		Description:  "User-mode network on gVisor's netstack: no privileges, egress policy, services of the host, published ports.",
		Capabilities: []string{network.CapPublish, network.CapPcap, network.CapPolicy},
		Namespaces:   []string{"user", "mount"}, // nothing to gain in either; the network stays the host's
		Configure: func(_ context.Context, c base.Config) error {
			n.Configure(slirp.Options{RuntimeDir: c.RuntimeDir, Processors: func(n int) { runtime.GOMAXPROCS(n) }})
			return nil
		},
		Drain:   n.Drain,
		Network: n,
	})
}
