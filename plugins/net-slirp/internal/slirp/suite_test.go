package slirp

import (
	"os"
	"testing"

	"github.com/voidbox-run/voidbox/plugins/net-slirp/internal/jail"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/network"
	"github.com/voidbox-run/voidbox/sdk/plugintest"
)

func TestContract(t *testing.T) {
	capabilities := []string{network.CapPublish, network.CapPcap, network.CapPolicy}
	plugintest.Network(t, plugintest.NetworkHarness{
		Capabilities: capabilities, Polices: true,
		Open: func(t *testing.T) network.Network {
			dir, err := os.MkdirTemp("", "slirp")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			n := New()
			n.Configure(Options{RuntimeDir: dir, Confine: func(jail.Grants) error { return nil }})
			t.Cleanup(func() { _ = n.Drain(t.Context()) })
			conn := sdk.TestConn(t, sdk.Plugin{Name: "slirp", Version: "0.1.0", Capabilities: capabilities, Network: n}, "{}")
			return network.NewClient(conn)
		},
	})
}
