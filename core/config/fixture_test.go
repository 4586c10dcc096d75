package config

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/network"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// plugins are the plugins of the tests: name after kind, and what they declare.
var plugins = map[string]base.Schema{
	"llm-replay": {Attributes: []base.Attribute{
		{Name: "cassette", Type: "path", Required: true},
		{Name: "server", Type: "string"},
	}},
	"llm-claude": {Attributes: []base.Attribute{
		{Name: "api_key", Type: "string", Sensitive: true},
		{Name: "base_url", Type: "string"},
		{Name: "command", Type: "string"},
		{Name: "command_file", Type: "path"},
		{Name: "retries", Type: "number", Default: json.RawMessage("3")},
		{Name: "headers", Type: "map(string)"},
	}},
	"llm-ollama": {Attributes: []base.Attribute{{Name: "base_url", Type: "string"}, {Name: "num_ctx", Type: "number"}}},
	"llm-openai": {Attributes: []base.Attribute{
		{Name: "base_url", Type: "string"}, {Name: "api", Type: "string"}, {Name: "api_key", Type: "string", Sensitive: true},
	}},
	"llm-broken":    {Attributes: []base.Attribute{{Name: "x", Type: "lisst(string)"}}},
	"network-slirp": {Attributes: []base.Attribute{{Name: "debug", Type: "bool"}}},
	"network-tap":   {Attributes: []base.Attribute{{Name: "device", Type: "string"}, {Name: "bridge", Type: "string"}}},
	"skill-toolbox": {
		Attributes: []base.Attribute{{Name: "command", Type: "list(string)", Required: true}},
		Blocks: []base.NestedBlock{{
			Type: "tool", MinItems: 1,
			Schema: base.Schema{Attributes: []base.Attribute{{Name: "name", Type: "string", Required: true}, {Name: "timeout", Type: "number"}}},
		}},
	},
	"sandbox-mock": {},
	"vmm-qemu":     {Attributes: []base.Attribute{{Name: "binary", Type: "path"}, {Name: "debug", Type: "bool", Default: json.RawMessage("false")}}},
	"vmm-kvm":      {},
}

// capabilities are those of the plugins that have any.
var capabilities = map[string][]string{"network-slirp": {network.CapPolicy, network.CapPublish}}

func describe(_ context.Context, kind base.Kind, name string) (base.Description, error) {
	schema, ok := plugins[string(kind)+"-"+name]
	if !ok {
		return base.Description{}, errdef.New(errdef.ErrNotFound, "no binary voidbox-%s-%s was found", kind, name).WithRemedy("install it")
	}
	return base.Description{Kind: kind, Name: name, Version: "1.0.0", Schema: schema, Capabilities: capabilities[string(kind)+"-"+name]}, nil
}

// environment is what secrets see.
func environment(name string) (string, bool) {
	value, ok := map[string]string{"TOKEN": "token-value-1234", "API_KEY": "key-value-5678", "EMPTY": ""}[name]
	return value, ok
}

func options() Options {
	return Options{Describe: describe, LookupEnv: environment, Version: "1.4.0", Command: noCommand}
}

// noCommand runs none: what a fuzzer writes is not to be run.
func noCommand(context.Context, string, []string) (string, error) { return "", errors.New("failed") }

// load loads a file that must be good.
func load(t *testing.T, path string, opt Options) *plan.Plan {
	t.Helper()
	p, _, diags := Load(t.Context(), path, opt)
	if err := diags.Err(); err != nil {
		t.Fatalf("load %s: %v", path, err)
	}
	return p
}

// loadText loads a configuration from a string.
func loadText(t *testing.T, src string, opt Options) (*plan.Plan, Diagnostics) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "main.hcl")
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	p, _, diags := Load(t.Context(), path, opt)
	return p, diags
}

// good loads a configuration from a string that must be good.
func good(t *testing.T, src string, opt Options) *plan.Plan {
	t.Helper()
	p, diags := loadText(t, src, opt)
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

// golden compares got with a file.
func golden(t *testing.T, path, got string) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	got = strings.ReplaceAll(got, dir, "$DIR")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// How deep the tree lies decides whether a line breaks before its path.
	unbroken := func(text string) string { return strings.ReplaceAll(text, "\n$DIR", " $DIR") }
	if diff := cmp.Diff(unbroken(string(want)), unbroken(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
