package config

import (
	"context"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/sdk/base"
)

// Plugins are asked all at once, each once, and nobody is still asking when Load returns.
func TestPluginsAreAskedAtOnce(t *testing.T) {
	defer goleak.VerifyNone(t)
	const src = `
llm "claude" "a" {}
llm "claude" "b" {}
llm "replay" "c" { cassette = "x" }
skill "toolbox" "d" {
  command = ["x"]
  tool { name = "t" }
}
`
	var asked atomic.Int32
	all := make(chan struct{})
	opt := options()
	opt.Describe = func(ctx context.Context, kind base.Kind, name string) (base.Description, error) {
		if asked.Add(1) == 3 {
			close(all)
		}
		<-all // never comes if they are asked one after the other
		return describe(ctx, kind, name)
	}
	good(t, src, opt)
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}

func TestBackendPlugins(t *testing.T) {
	for backend, want := range map[string][]string{
		"auto": nil, "qemu": {"vmm-qemu"}, "kvm": {"vmm-kvm"}, "mock": {"sandbox-mock"}, "other": {"sandbox-other", "vmm-other"},
	} {
		var asked []string
		opt := options()
		opt.Describe = func(ctx context.Context, kind base.Kind, name string) (base.Description, error) {
			asked = append(asked, string(kind)+"-"+name)
			if name == "other" && kind == base.KindVMM {
				return base.Description{Kind: kind, Name: name}, nil
			}
			return describe(ctx, kind, name)
		}
		good(t, "sandbox \"box\" {\n  backend = \""+backend+"\"\n  image = \"base\"\n}\n", opt)
		if len(asked) != len(want) || len(want) > 0 && asked[0] != want[0] {
			t.Errorf("backend %s: asked %v, want %v", backend, asked, want)
		}
	}
}
