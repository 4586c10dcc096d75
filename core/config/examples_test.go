package config

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
)

func TestExamplesLoad(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.hcl")
	if err != nil || len(files) < 4 {
		t.Fatalf("examples %v, %v", files, err)
	}
	for _, path := range append(files, "../../examples/complete/sandbox.hcl") {
		for _, backend := range []string{plan.BackendAuto, plan.BackendMock} {
			opt := options()
			opt.SecretsOptional = true
			opt.Vars = map[string]string{"backend": backend}
			for _, s := range load(t, path, opt).Sandboxes {
				if s.Backend != backend {
					t.Errorf("%s: sandbox %s has backend %s, want %s", path, s.Name, s.Backend, backend)
				}
			}
		}
	}
}

// The parallel example is a diamond: one, then three at once, then one.
func TestParallelExampleIsADiamond(t *testing.T) {
	p := load(t, "../../examples/parallel_pipeline.hcl", options())
	results := plan.Results{}
	var needs []int
	for _, s := range p.Pipelines[0].Stages {
		needs = append(needs, len(s.Needs))
		if _, err := s.Bind(results); err != nil {
			t.Errorf("%s: %v", s.ID(), err)
		}
		results[s.ID()] = plan.Result{Output: "text", InputTokens: 1, OutputTokens: 2}
	}
	if len(needs) != 5 || needs[0] != 0 || needs[1] != 1 || needs[2] != 1 || needs[3] != 1 || needs[4] != 3 {
		t.Errorf("stages need %v stages", needs)
	}
	if tokens, err := p.Pipelines[0].Outputs[1].Value(results); err != nil || tokens != int64(9) {
		t.Errorf("tokens %v, %v", tokens, err)
	}
}

// fileToCopy returns a page's first HCL. All that it has is written as it should be.
func fileToCopy(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```hcl\n(.*?)```").FindAllSubmatch(text, -1)
	for _, b := range blocks {
		formatted, diags := Format(b[1], page)
		if diags.HasErrors() || string(formatted) != string(b[1]) {
			t.Errorf("%s: %v, formatted:\n%s", page, diags, formatted)
		}
	}
	return string(blocks[0][1])
}

// The page of each provider begins with a file to copy.
func TestProviderPages(t *testing.T) {
	pages, err := filepath.Glob("../../docs/providers/*.md")
	if err != nil || len(pages) < 4 {
		t.Fatalf("pages %v, %v", pages, err)
	}
	for _, page := range pages {
		p, diags := loadText(t, fileToCopy(t, page), Options{LookupEnv: environment, SecretsOptional: true})
		if p == nil || len(p.Agents) != 1 {
			t.Errorf("%s: %v", page, diags)
		}
	}
}

// The page of each kind of skill begins with a file to copy.
func TestSkillPages(t *testing.T) {
	pages, err := filepath.Glob("../../docs/skills/*.md")
	if err != nil || len(pages) < 8 {
		t.Fatalf("pages %v, %v", pages, err)
	}
	for _, page := range pages {
		dir := t.TempDir()
		for name, content := range map[string]string{"main.hcl": fileToCopy(t, page), "skills/prices.md": "Prices.", "skills/prices/SKILL.md": "Prices."} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p := load(t, filepath.Join(dir, "main.hcl"), Options{LookupEnv: environment, SecretsOptional: true})
		if len(p.Skills) != 1 {
			t.Errorf("%s: %d skills", page, len(p.Skills))
		}
	}
}
