package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/observe"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/internal/testllm"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// teller answers every prompt with its stage's name, at a price, and remembers for which stages it was asked.
type teller struct {
	mu    sync.Mutex
	asked []string
	// on is told of each stage, and may have it fail; nil lets all succeed.
	on func(ctx context.Context, stage string) error
}

func (f *teller) llm() *testllm.LLM {
	return answering(func(ctx context.Context, prompt string) (llm.Turn, error) {
		stage := strings.Fields(prompt)[2]
		f.mu.Lock()
		f.asked = append(f.asked, stage)
		f.mu.Unlock()
		if f.on != nil {
			if err := f.on(ctx, stage); err != nil {
				return llm.Turn{}, err
			}
		}
		return testllm.Used(testllm.Say("done "+stage), llm.Usage{InputTokens: 10, OutputTokens: 1, CostUSD: 0.5, CostKnown: true}), nil
	})
}

// who returns the stages that the model was asked for since the last call, by name.
func (f *teller) who() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.asked)
	who := strings.Join(f.asked, "")
	f.asked = nil
	return who
}

// checkTotals demands that the totals of a run are the sum of its stages'.
func checkTotals(t *testing.T, r Result) {
	t.Helper()
	var spent, reused event.Totals
	for _, s := range r.Stages {
		spent = spent.Add(s.Totals)
		if s.ReusedFrom != "" {
			reused = reused.Add(s.Reused)
		}
	}
	if r.Totals != spent || r.Reused != reused {
		t.Errorf("totals %+v and %+v, the stages' sums are %+v and %+v", r.Totals, r.Reused, spent, reused)
	}
}

// A diamond that failed or was cancelled at a stage goes on there: what had succeeded is used again, everything else runs.
func TestResumeAtEachStage(t *testing.T) {
	for _, at := range []string{"a", "b", "c", "d"} {
		for _, how := range []string{"fail", "cancel"} {
			t.Run(how+" at "+at, func(t *testing.T) {
				model := &teller{}
				h := newHarness(t, diamond(nil), llms(model.llm()))
				ctx, cancel := context.WithCancel(t.Context())
				model.on = func(ctx context.Context, stage string) error {
					if stage != at {
						return nil
					}
					if how == "fail" {
						return errdef.New(errdef.ErrInvalid, "told to fail")
					}
					cancel()
					<-ctx.Done()
					return ctx.Err()
				}
				first, err := h.run(ctx)
				checkTotals(t, first)
				if want := map[string]event.Status{"fail": event.Failed, "cancel": event.Cancelled}[how]; err == nil || first.Status != want || first.Stages[at].Status != want {
					t.Fatalf("%v: %+v", err, first)
				}
				past, err := observe.OpenPast(first.Dir)
				if err != nil || !past.Resumable() || past.Status != first.Status || past.Target != "pipeline.diamond" {
					t.Fatalf("%v: %+v", err, past)
				}
				model.who()
				model.on = nil

				again := newHarness(t, diamond(nil), llms(model.llm()))
				again.cfg.Resume = first.Dir
				second, err := again.run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				checkTotals(t, second)
				var finished, rest string
				for _, id := range []string{"a", "b", "c", "d"} {
					sr := second.Stages[id]
					if first.Stages[id].Status == event.Succeeded {
						finished += id
						if sr.ReusedFrom != first.Run || sr.Reused != first.Stages[id].Totals || sr.Attempts != 0 || sr.Totals != (event.Totals{}) {
							t.Errorf("stage %s was not reused: %+v", id, sr)
						}
						if got := again.types(id); got != "stage_finished" {
							t.Errorf("events of a stage that was reused: %s", got)
						}
						continue
					}
					rest += id
					if sr.ReusedFrom != "" || sr.Attempts != 1 || sr.Totals.InputTokens != 10 {
						t.Errorf("stage %s did not run: %+v", id, sr)
					}
				}
				if got := model.who(); got != rest || past.Done != len(finished) {
					t.Errorf("the model was asked for %q, want %q; %d stages had records", got, rest, past.Done)
				}
				if second.Resumes != first.Run || second.Output != "done d" || second.Outputs["report"] != "done d" || len(again.host.sandboxes) != len(rest) {
					t.Errorf("%d sandboxes, %+v", len(again.host.sandboxes), second)
				}

				// What was resumed can be resumed, and then there is nothing left to do.
				third := newHarness(t, diamond(nil), llms(model.llm()))
				third.cfg.Resume = second.Dir
				last, err := third.run(t.Context())
				if err != nil || last.Output != "done d" || model.who() != "" || last.Totals.CostUSD != 0 || last.Totals.InputTokens != 0 || last.Reused.InputTokens != 40 {
					t.Errorf("%v: %+v", err, last)
				}
			})
		}
	}
}

// failedAt runs the diamond until a stage fails.
func failedAt(t *testing.T, at string, p *plan.Plan) (Result, *teller) {
	t.Helper()
	model := &teller{on: func(_ context.Context, stage string) error {
		if stage == at {
			return errdef.New(errdef.ErrInvalid, "told to fail")
		}
		return nil
	}}
	h := newHarness(t, p, llms(model.llm()))
	first, err := h.run(t.Context())
	if err == nil {
		t.Fatal("it did not fail")
	}
	model.who()
	model.on = nil
	return first, model
}

func TestResumeRunsAgainWhatChanged(t *testing.T) {
	input := t.TempDir()
	for _, c := range []struct {
		name string
		edit func(stage string, run *plan.AgentRun)
		ran  string
		why  string // for b
	}{
		{"nothing", nil, "d", ""},
		{"budget", func(_ string, run *plan.AgentRun) { run.Budget.USD = 99; run.MaxTurns = 3 }, "d", ""},
		{"prompt", func(stage string, run *plan.AgentRun) {
			if stage == "b" {
				run.Prompt += " carefully"
			}
		}, "bd", "its prompt changed"},
		{"model and tools", func(stage string, run *plan.AgentRun) {
			if stage == "b" {
				run.Model, run.Tools = "other", []string{"bash"}
			}
		}, "bd", "its model, tools changed"},
		{"sandbox", func(stage string, run *plan.AgentRun) {
			if stage == "b" {
				box := *run.Sandbox
				box.Env = map[string]string{"A": "1"}
				run.Sandbox = &box
			}
		}, "bd", "its sandbox changed"},
		{"skills", func(stage string, run *plan.AgentRun) {
			if stage == "b" {
				run.Skills = []*plan.Skill{{Block: plan.Block{Plugin: "inline", Label: "x"}, Description: "d", Content: "text"}}
			}
		}, "bd", "its skills changed"},
		{"files", func(stage string, run *plan.AgentRun) {
			if stage == "b" {
				run.Files = []plan.Files{{From: input, To: "/input"}}
			}
		}, "bd", "its files changed"},
		{"what it needs", func(stage string, run *plan.AgentRun) {
			if stage == "a" {
				run.System = "Be brief."
			}
		}, "abcd", "stage a ran again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, model := failedAt(t, "d", diamond(nil))
			h := newHarness(t, diamond(c.edit), llms(model.llm()))
			h.cfg.Resume = first.Dir
			result, err := h.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			checkTotals(t, result)
			if got := model.who(); got != c.ran {
				t.Errorf("the model was asked for %q, want %q", got, c.ran)
			}
			why := ""
			for _, e := range h.events {
				if d, ok := e.Data.(event.StageStarted); ok && e.Stage == "b" {
					why = d.Again
				}
			}
			if why != c.why {
				t.Errorf("it says %q, want %q", why, c.why)
			}
		})
	}
}

// What an agent below is told is part of what a stage is made from.
func TestResumeRunsAgainWhoseHelperChanged(t *testing.T) {
	helped := func(system string) func(string, *plan.AgentRun) {
		helper := &plan.Agent{Name: "helper"}
		return func(stage string, run *plan.AgentRun) {
			if stage != "b" {
				return
			}
			helper.Delegate = func(task string) (*plan.AgentRun, error) {
				return &plan.AgentRun{Agent: "helper", System: system, Prompt: task, LLM: run.LLM, Sandbox: run.Sandbox}, nil
			}
			run.Skills = []*plan.Skill{{Block: plan.Block{Plugin: "agent", Label: "helper"}, Description: "helps", Agent: helper}}
		}
	}
	first, model := failedAt(t, "d", diamond(helped("Be brief.")))
	for _, c := range []struct{ system, ran string }{{"Be brief.", "d"}, {"Be thorough.", "bd"}} {
		h := newHarness(t, diamond(helped(c.system)), llms(model.llm()))
		h.cfg.Resume = first.Dir
		if _, err := h.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := model.who(); got != c.ran {
			t.Errorf("%s: the model was asked for %q, want %q", c.system, got, c.ran)
		}
	}
}

// A secret in a result is in no record; the stage runs again, and the run says why.
func TestResultWithASecretIsNotKept(t *testing.T) {
	p := diamond(nil)
	p.Secrets = []plan.Secret{{Name: "secret.k", Value: "done b"}}
	first, model := failedAt(t, "d", p)
	content, err := os.ReadFile(filepath.Join(first.Dir, "stages", "b.json"))
	if err != nil || strings.Contains(string(content), "done b") {
		t.Fatalf("%v: %s", err, content)
	}
	h := newHarness(t, p, llms(model.llm()))
	h.cfg.Resume = first.Dir
	if _, err := h.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := model.who(); got != "bd" || !strings.Contains(h.record("events.jsonl"), "its result held a secret") {
		t.Errorf("the model was asked for %q", got)
	}
}

func TestDamagedRecordRunsAgain(t *testing.T) {
	first, model := failedAt(t, "d", diamond(nil))
	if err := os.WriteFile(filepath.Join(first.Dir, "stages", "c.json"), []byte(`{"version": 1, "sta`), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, diamond(nil), llms(model.llm()))
	h.cfg.Resume = first.Dir
	if _, err := h.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := model.who(); got != "cd" {
		t.Errorf("the model was asked for %q", got)
	}
}

func TestWhatCannotBeResumed(t *testing.T) {
	first, _ := failedAt(t, "d", diamond(nil))
	try := func(p *plan.Plan, dir, want string) {
		t.Helper()
		h := newHarness(t, p, llms(echo()))
		h.cfg.Resume = dir
		_, err := New(h.cfg)
		var config *ConfigError
		if !errors.As(err, &config) || !strings.Contains(fmt.Sprint(err), want) || errdef.Remedy(err) == "" {
			t.Errorf("got %v (%s), want %s", err, errdef.Remedy(err), want)
		}
	}
	try(diamond(nil), filepath.Join(t.TempDir(), "never"), "there is no run")
	try(single(nil), first.Dir, "was one of pipeline.diamond, and this is agent.solo")
	try(&plan.Plan{Sandboxes: []*plan.Sandbox{{Name: "box", Backend: "mock"}}}, first.Dir, "no stages that could be resumed")

	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "run.json"), []byte("}"), 0o600); err != nil {
		t.Fatal(err)
	}
	try(diamond(nil), broken, "read run.json")

	// One that lives is left alone.
	h := newHarness(t, single(nil), llms(answering(func(context.Context, string) (llm.Turn, error) { return testllm.Say("x"), nil })))
	h.watch = func(e event.Event) {
		if e.Data.Type() == "agent_started" {
			try(single(nil), h.cfg.RunDir, "lives")
		}
	}
	if _, err := h.run(t.Context()); err != nil {
		t.Fatal(err)
	}
}
