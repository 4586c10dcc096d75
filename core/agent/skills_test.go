package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/skill"
	"github.com/voidbox-run/voidbox/internal/testllm"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	sdkskill "github.com/voidbox-run/voidbox/sdk/skill"
)

func loaded(t *testing.T, from skill.Sources, declared ...*plan.Skill) []skill.Skill {
	t.Helper()
	skills, err := skill.Load(t.Context(), declared, from)
	if err != nil {
		t.Fatal(err)
	}
	return skills
}

func cliSkill(label string, change func(*plan.Skill)) *plan.Skill {
	d := &plan.Skill{Block: plan.Block{Plugin: skill.KindCLI, Label: label}}
	if change != nil {
		change(d)
	}
	return d
}

func TestProgramsAreLookedForBeforeTheModelIsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		skill *plan.Skill
		want  string // of the error; empty means success
	}{
		"there":         {cliSkill("bash", func(d *plan.Skill) { d.Version = ">= 3" }), ""},
		"not there":     {cliSkill("nope", nil), `skill nope: the program "nope" is not in the sandbox`},
		"too old":       {cliSkill("bash", func(d *plan.Skill) { d.Version = ">= 99" }), `">= 99" is asked for`},
		"says nothing":  {cliSkill("true", func(d *plan.Skill) { d.Program, d.Version = "false", ">= 1" }), "false --version does not tell its version"},
		"another label": {cliSkill("shell", func(d *plan.Skill) { d.Program = "bash" }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, testllm.Script(testllm.Say("ok")))
			b.skills = loaded(t, skill.Sources{}, c.skill)
			_, err := b.run(t.Context())
			if c.want == "" {
				if err != nil || !strings.Contains(b.llm.Requests()[0].System, "The program bash, which is installed.") {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || errdef.Remedy(err) == "" || len(b.llm.Requests()) > 0 {
				t.Errorf("%v: %s, after %d requests", err, errdef.Remedy(err), len(b.llm.Requests()))
			}
		})
	}
}

func TestProgramOfTheHostIsCopied(t *testing.T) {
	program := filepath.Join(t.TempDir(), "mine")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho mine 1.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, testllm.Script(testllm.Say("ok")))
	b.skills = loaded(t, skill.Sources{}, cliSkill("mine", func(d *plan.Skill) { d.Path = program }))
	_, err := b.run(t.Context()) // the test's sandbox looks for programs on the host
	if err == nil || !strings.Contains(err.Error(), `the program "mine" is not in the sandbox`) {
		t.Error(err)
	}
	info, err := os.Stat(b.sandbox.Host("/usr/local/bin/mine"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestSkillTool(t *testing.T) {
	b := newBench(t, testllm.Script(testllm.Call("skill", args("name", "hn"), "skill", args("name", "nope")), testllm.Say("ok")))
	b.skills = loaded(t, skill.Sources{}, &plan.Skill{Block: plan.Block{Plugin: "inline", Label: "hn"}, Content: "# Hacker News\nUse the API."})
	b.agent.Tools = []string{"skill"}
	b.succeed()
	if got := b.results(); !strings.Contains(got[0].Content, "Use the API.") || got[0].Error || got[1].Content != `there is no skill "nope"; the skills are hn` {
		t.Errorf("%+v", got)
	}
}

// fakePlugin is a skill plugin.
type fakePlugin struct{ resolved sdkskill.Resolved }

func (s fakePlugin) Resolve(context.Context, string) (sdkskill.Resolved, error) {
	return s.resolved, nil
}

func (s fakePlugin) CallTool(ctx context.Context, name string, call llm.ToolCall) (llm.ToolResult, error) {
	switch call.Name {
	case "say":
		return llm.ToolResult{Content: name + " says " + string(call.Arguments)}, nil
	case "fail":
		return llm.ToolResult{Content: "it is broken", Error: true}, nil
	case "hang":
		<-ctx.Done()
		return llm.ToolResult{}, ctx.Err()
	}
	return llm.ToolResult{}, errdef.New(errdef.ErrNotFound, "no such tool")
}

func fromPlugin(r sdkskill.Resolved) skill.Sources {
	return skill.Sources{Plugin: func(context.Context, *plan.Skill) (sdkskill.Skill, error) { return fakePlugin{r}, nil }}
}

func TestToolsOfASkillPlugin(t *testing.T) {
	schema := json.RawMessage(`{"type":"object"}`)
	from := fromPlugin(sdkskill.Resolved{
		Description: "Says things.", Files: []llm.File{{Path: "SKILL.md", Content: []byte("Say it.")}},
		Tools: []llm.Tool{{Name: "say", InputSchema: schema}, {Name: "fail", InputSchema: schema}, {Name: "hang", InputSchema: schema}, {Name: "gone", InputSchema: schema}},
	})
	b := newBench(t, testllm.Script(testllm.Call("voice__say", `{"a":1}`, "voice__fail", `{}`, "voice__hang", `{}`, "voice__gone", `{}`), testllm.Say("ok")))
	b.skills = loaded(t, from, &plan.Skill{Block: plan.Block{Plugin: "talk", Label: "voice"}})
	b.agent.ToolTimeout = 50 * time.Millisecond
	b.succeed()
	for i, want := range []string{`voice says {"a":1}`, "it is broken", "the skill voice did not answer within 50ms", "no such tool"} {
		if got := b.results()[i]; got.Content != want || got.Error != (i > 0) {
			t.Errorf("%+v, want %q", got, want)
		}
	}
	if system := b.llm.Requests()[0].System; !strings.Contains(system, "- voice (/home/agent/.agents/skills/voice/SKILL.md): Says things.") {
		t.Error(system)
	}
}

func TestSkillPluginsThatAreOfNoUse(t *testing.T) {
	for name, r := range map[string]sdkskill.Resolved{
		"nothing":     {Description: "x"},
		"no SKILL.md": {Description: "x", Files: []llm.File{{Path: "a"}}},
		"many files":  {Description: "x", Files: make([]llm.File, skill.MaxFiles+1)},
		"large":       {Description: "x", Files: []llm.File{{Path: "SKILL.md", Content: make([]byte, skill.MaxBytes+1)}}},
		"many tools":  {Description: "x", Tools: make([]llm.Tool, 1000)},
		"no text":     {Files: []llm.File{{Path: "SKILL.md"}}},
	} {
		if _, err := skill.Load(t.Context(), []*plan.Skill{{Block: plan.Block{Plugin: "p", Label: "l"}}}, fromPlugin(r)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// team is a bench whose agent may give tasks to another, which runs on a model of its own.
func team(t *testing.T, chief *testllm.LLM, worker func(*plan.AgentRun) (Report, error)) *bench {
	b := newBench(t, chief)
	helper := &plan.Agent{Name: "helper", Delegate: func(task string) (*plan.AgentRun, error) {
		return &plan.AgentRun{Agent: "helper", Prompt: "Do: " + task, Budget: plan.Budget{Tokens: 1000}}, nil
	}}
	b.skills = loaded(t, skill.Sources{}, &plan.Skill{Block: plan.Block{Plugin: skill.KindAgent, Label: "helper"}, Description: "Helps.", Agent: helper})
	b.delegate = func(_ context.Context, run *plan.AgentRun) (Report, error) { return worker(run) }
	return b
}

func TestAnotherAgentIsATool(t *testing.T) {
	var got []*plan.AgentRun
	b := team(t, testllm.Script(testllm.Used(testllm.Call("agent__helper", args("task", "count"), "agent__helper", `{}`, "agent__helper", args("task", "fail")), llm.Usage{InputTokens: 100}), testllm.Say("ok")),
		func(run *plan.AgentRun) (Report, error) {
			got = append(got, run)
			if run.Prompt == "Do: fail" {
				return Report{Totals: event.Totals{InputTokens: 5}}, errors.New("it broke")
			}
			return Report{Output: "forty-two", Totals: event.Totals{InputTokens: 200, OutputTokens: 7}}, nil
		})
	b.agent.Budget.Tokens = 600
	report := b.succeed()
	results := b.results()
	for i, want := range []string{"forty-two", `the argument "task" is missing`, "the agent helper has failed: it broke"} {
		if results[i].Content != want || results[i].Error != (i > 0) {
			t.Errorf("%+v, want %q", results[i], want)
		}
	}
	// What another agent spent counts, and it gets no more than what is left.
	if report.Totals.InputTokens != 305 || report.Totals.OutputTokens != 7 {
		t.Errorf("totals %+v", report.Totals)
	}
	left := []uint64{got[0].Budget.Tokens, got[1].Budget.Tokens}
	if got[0].Prompt == "Do: fail" { // tools of one turn run side by side
		left[0], left[1] = left[1], left[0]
		if left[1] != 500 || left[0] != 495 {
			t.Errorf("budgets %v", left)
		}
	} else if left[0] != 500 || left[1] != 293 {
		t.Errorf("budgets %v", left)
	}
}

func TestAnotherAgentThatUsesTheBudgetUpEndsTheRun(t *testing.T) {
	b := team(t, testllm.Script(testllm.Call("agent__helper", args("task", "count")), testllm.Call("bash", args("command", "touch ran")), testllm.Say("no")),
		func(*plan.AgentRun) (Report, error) { return Report{Totals: event.Totals{InputTokens: 700}}, nil })
	b.agent.Budget.Tokens = 600
	_, err := b.run(t.Context())
	var limit *LimitError
	if !errors.As(err, &limit) || limit.Limit != LimitTokens {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(b.sandbox.Host("/home/agent/ran")); err == nil {
		t.Error("a tool ran after the budget was used up")
	}
}

func TestAgentsAreNotNestedWithoutEnd(t *testing.T) {
	b := team(t, testllm.Script(testllm.Call("agent__helper", args("task", "count")), testllm.Say("ok")), nil)
	b.delegate = nil
	b.succeed()
	if got := b.results()[0]; !got.Error || !strings.Contains(got.Content, "nested too deeply") {
		t.Errorf("%+v", got)
	}
}

// A thousand calls in one turn are bounded, and told so.
func TestAThousandCallsInOneTurn(t *testing.T) {
	var calls []string
	for i := range 1000 {
		calls = append(calls, "bash", args("command", fmt.Sprintf("echo %d >> ran", i)))
	}
	b := newBench(t, testllm.Script(testllm.Call(calls...), testllm.Say("ok")))
	b.succeed()
	if n := strings.Count(b.read("/home/agent/ran"), "\n"); n != maxCallsPerTurn {
		t.Errorf("%d calls were carried out", n)
	}
	if got := b.results(); len(got) != 1000 || !strings.Contains(got[999].Content, "a turn may call at most 64 tools") {
		t.Errorf("%d results", len(got))
	}
}

// A turn of a megabyte, and a result of one, go through whole or cut at a rune.
func TestATurnOfAMegabyte(t *testing.T) {
	long := strings.Repeat("é", 1<<19)
	b := newBench(t, testllm.Script(testllm.Call("write", args("path", "big", "content", long)), testllm.Call("bash", args("command", "cat big")), testllm.Say(long)))
	report := b.succeed()
	if report.Output != long || b.read("/home/agent/big") != long {
		t.Errorf("%d bytes of output", len(report.Output))
	}
	if got := b.results()[0].Content; strings.Contains(got, "\uFFFD") || !strings.Contains(got, "bytes left out") {
		t.Errorf("%.40q", got)
	}
}
