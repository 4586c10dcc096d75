package config

import (
	"path/filepath"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
)

func TestExamplesLoad(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.hcl")
	if err != nil || len(files) < 4 {
		t.Fatalf("examples %v, %v", files, err)
	}
	for _, path := range files {
		for _, backend := range []string{plan.BackendAuto, plan.BackendMock} {
			opt := options()
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
