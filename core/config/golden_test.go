package config

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/plan"
)

// Every bad file has the diagnostics that people see beside it.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.hcl*")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, path := range files {
		if strings.HasSuffix(path, ".golden") {
			continue
		}
		count++
		t.Run(filepath.Base(path), func(t *testing.T) {
			p, _, diags := Load(t.Context(), path, options())
			if !diags.HasErrors() || p != nil {
				t.Fatalf("loaded, with diagnostics %v", diags)
			}
			for _, d := range diags {
				if d.Range == nil || d.Range.Filename != path || d.Snippet == nil {
					t.Errorf("%q has no place in the file: %+v", d.Summary, d.Range)
				}
			}
			var text strings.Builder
			if err := diags.WriteText(&text, 100, false); err != nil {
				t.Fatal(err)
			}
			golden(t, path+".golden", text.String())
		})
	}
	if count < 25 {
		t.Errorf("%d bad files, want at least 25", count)
	}
}

// Every good file has its plan beside it: what stages and outputs become over sample results included.
func TestGoodFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			golden(t, path+".golden", render(t, load(t, path, options())))
		})
	}
}

// rendered is a plan in which functions are replaced by what they return, and references by names.
type rendered struct {
	Name      string
	Plugins   []plan.Requirement
	Sandboxes []*plan.Sandbox
	LLMs      []*plan.LLM
	Skills    []*plan.Skill
	Secrets   []plan.Secret
	Agents    map[string]any // the run, or "template"
	Pipelines map[string]renderedPipeline
}

type renderedPipeline struct {
	MaxParallel int
	Stages      []renderedStage
	Outputs     map[string]any
}

type renderedStage struct {
	ID      string
	Needs   []string
	Retry   plan.Retry
	Timeout time.Duration
	Run     map[string]any
}

func render(t *testing.T, p *plan.Plan) string {
	t.Helper()
	out := rendered{
		Name: p.Name, Plugins: p.Plugins, Sandboxes: p.Sandboxes, LLMs: p.LLMs, Skills: p.Skills, Secrets: p.Secrets,
		Agents: map[string]any{}, Pipelines: map[string]renderedPipeline{},
	}
	for _, a := range p.Agents {
		out.Agents[a.Name] = "template"
		if !a.NeedsInput {
			out.Agents[a.Name] = bound(t, a.Bind)
		}
	}
	for _, pipe := range p.Pipelines {
		out.Pipelines[pipe.Name] = renderPipeline(t, pipe)
	}
	js, err := json.MarshalIndent(slim(t, out), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(js) + "\n"
}

func renderPipeline(t *testing.T, pipe *plan.Pipeline) renderedPipeline {
	t.Helper()
	out := renderedPipeline{MaxParallel: pipe.MaxParallel, Outputs: map[string]any{}}
	results := plan.Results{}
	for _, s := range pipe.Stages {
		run := bound(t, func() (*plan.AgentRun, error) { return s.Bind(results) })
		out.Stages = append(out.Stages, renderedStage{s.ID(), s.Needs, s.Retry, s.Timeout, run})
		results[s.ID()] = plan.Result{Output: "output of " + s.ID(), Turns: 2, InputTokens: 10, OutputTokens: 5}
	}
	for _, o := range pipe.Outputs {
		v, err := o.Value(results)
		if err != nil {
			t.Fatalf("output %s: %v", o.Name, err)
		}
		out.Outputs[o.Name] = map[string]any{"Value": v, "Sensitive": o.Sensitive}
	}
	return out
}

func bound(t *testing.T, bind func() (*plan.AgentRun, error)) map[string]any {
	t.Helper()
	run, err := bind()
	if err != nil {
		t.Fatal(err)
	}
	var skills []string
	for _, s := range run.Skills {
		skills = append(skills, s.Plugin+"."+s.Label)
	}
	return map[string]any{
		"Agent": run.Agent, "Sandbox": run.Sandbox.Name, "LLM": run.LLM.Plugin + "." + run.LLM.Label, "Skills": skills,
		"Model": run.Model, "System": run.System, "Prompt": run.Prompt, "Tools": run.Tools, "Mode": run.Mode,
		"MaxTurns": run.MaxTurns, "OutputFile": run.OutputFile, "OutputBytes": run.OutputBytes, "Budget": run.Budget,
	}
}

// slim drops what is empty, so that golden files can be read.
func slim(t *testing.T, v any) any {
	t.Helper()
	js, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(js, &tree); err != nil {
		t.Fatal(err)
	}
	return prune(tree)
}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, e := range v {
			if e = prune(e); e == nil || e == "" || e == 0.0 || e == false {
				delete(v, key)
				continue
			}
			v[key] = e
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i, e := range v {
			v[i] = prune(e)
		}
		if len(v) == 0 {
			return nil
		}
	}
	return v
}
