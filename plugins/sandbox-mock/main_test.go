package main

import (
	"context"
	"testing"

	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/plugintest"
	"github.com/voidbox-run/voidbox/sdk/sandbox"
)

func TestContractThroughThePlugin(t *testing.T) {
	plugintest.Sandbox(t, func(t *testing.T) sandbox.Sandbox {
		p := sandbox.NewProvider(sdk.TestConn(t, plugin(), `{}`))
		id, s, err := p.Create(t.Context(), sandbox.Spec{Name: "suite"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Destroy(context.Background(), id); err != nil {
				t.Errorf("destroy: %v", err)
			}
		})
		return s
	})
}
