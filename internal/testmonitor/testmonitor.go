// Package testmonitor starts VMM plugins for tests as a run does: as processes of their own, under the real plugin host.
package testmonitor

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/sdk/base"
)

// Start starts the VMM plugin name, whose program lies in dir, with a configuration block; empty means none. It ends with the
// test.
func Start(t testing.TB, dir, name, config string) *pluginhost.Instance {
	t.Helper()
	runtime, err := os.MkdirTemp("", "vb") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	host, err := pluginhost.New(pluginhost.Options{BuiltinDir: dir, RuntimeDir: runtime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := host.Close(ctx); err != nil {
			t.Errorf("close the plugin host: %v", err)
		}
		_ = os.RemoveAll(runtime)
	})
	if config == "" {
		config = "{}"
	}
	plugin, err := host.Start(t.Context(), pluginhost.Request{
		Kind: base.KindVMM, Name: name, Instance: "test", Config: json.RawMessage(config),
	})
	if err != nil {
		t.Fatal(err)
	}
	return plugin
}

// StartImmortal is Start for a plugin whose death fails the test.
func StartImmortal(t testing.TB, dir, name, config string) *pluginhost.Instance {
	t.Helper()
	plugin := Start(t, dir, name, config)
	t.Cleanup(func() {
		if err := plugin.Err(); err != nil {
			t.Errorf("the plugin: %v", err)
		}
	})
	return plugin
}
