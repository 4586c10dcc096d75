package pluginhost

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/base"
)

const examples = "../../examples/plugins/"

// buildExample builds a plugin that lies outside of this module, such as llm-echo.
func buildExample(t *testing.T, name, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "voidbox-"+name)
	build := exec.Command("go", "build", "-C", examples+name, "-o", path, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// TestExamplePlugin builds a plugin of another module, pins it, uses it, and sees it refused when one byte differs.
func TestExamplePlugin(t *testing.T) {
	house := newHouse(t)
	path := buildExample(t, "llm-echo", house.third)
	found, err := house.host(t).Describe(t.Context(), base.KindLLM, "echo")
	if err != nil {
		t.Fatal(err)
	}
	pinned := func(o *Options) {
		o.Required = []plan.Requirement{{Kind: "llm", Name: "echo", Version: ">= 1.0", SHA256: found.SHA256}}
	}
	start := func(host *Host) (*Instance, error) {
		return host.Start(t.Context(), Request{Kind: base.KindLLM, Name: "echo", Config: []byte(`{"prefix": "you said: "}`)})
	}

	inst, err := start(house.host(t, pinned))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ask(t.Context(), inst, ""); got != "you said: go on" || err != nil {
		t.Errorf("answer %q, %v", got, err)
	}

	flipByte(t, path)
	_, err = start(house.host(t, pinned))
	wantErr(t, err, ReasonHash, "expected "+found.SHA256)
}
