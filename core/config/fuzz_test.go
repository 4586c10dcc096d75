package config

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
)

// FuzzLoad loads arbitrary bytes, in either syntax: no input may panic, or take more than its bounds. What loads is also bound
// and formatted.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.hcl", "testdata/bad/*.hcl", "testdata/bad/*.json", "testdata/json/*", "../../examples/*.hcl"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			if strings.Contains(path, "too_many") {
				continue // slow by design: the engine gives an input ten seconds, instrumented
			}
			src, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src, filepath.Ext(path) == ".json")
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, src []byte, isJSON bool) {
		path := filepath.Join(dir, "main.hcl")
		if isJSON {
			path += ".json"
		}
		if err := os.WriteFile(path, src, 0o600); err != nil {
			t.Fatal(err)
		}
		p, _, diags := Load(context.Background(), path, options())
		if (p == nil) != diags.HasErrors() {
			t.Fatalf("plan %v with diagnostics %v", p, diags)
		}
		_ = diags.Error()
		if p != nil {
			exercise(p)
		}
		formatted, diags := Format(src, path)
		if !diags.HasErrors() && !isJSON {
			if _, diags := Format(formatted, path); diags.HasErrors() {
				t.Fatalf("formatting broke the file: %v", diags)
			}
		}
	})
}

// exercise calls what a plan holds, over results and without.
func exercise(p *plan.Plan) {
	for _, a := range p.Agents {
		if a.Bind != nil {
			_, _ = a.Bind()
		}
	}
	for _, pipe := range p.Pipelines {
		results := plan.Results{}
		for _, s := range pipe.Stages {
			_, _ = s.Bind(nil)
			_, _ = s.Bind(results)
			results[s.ID()] = plan.Result{Output: `{"a": [1]}`}
		}
		for _, o := range pipe.Outputs {
			_, _ = o.Value(nil)
			_, _ = o.Value(results)
		}
	}
}
