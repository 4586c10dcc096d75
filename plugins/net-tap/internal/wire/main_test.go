//go:build linux

package wire

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/internal/testnetns"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/network"
	"github.com/voidbox-run/voidbox/sdk/plugintest"
)

func TestMain(m *testing.M) {
	os.Exit(testnetns.Run(func() int {
		code := m.Run()
		if err := goleak.Find(); code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		return code
	}))
}

func TestContract(t *testing.T) {
	plugintest.Network(t, plugintest.NetworkHarness{
		Open: func(t *testing.T) network.Network {
			n := newNetwork(t, Options{})
			return network.NewClient(sdk.TestConn(t, sdk.Plugin{Name: "tap", Version: "0.1.0", Network: n}, "{}"))
		},
	})
}

// newNetwork returns a network that leaves the test free.
func newNetwork(t *testing.T, opt Options) *Network {
	t.Helper()
	dir, err := os.MkdirTemp("", "tap") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	n := New()
	opt.RuntimeDir, opt.Confine = dir, func(string) error { return nil }
	if err := n.Configure(opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	return n
}
