package agent

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/skill"
	"github.com/voidbox-run/voidbox/internal/mcpstandin"
	"github.com/voidbox-run/voidbox/internal/testllm"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// served is a skill over the stand-in of an MCP server, in the sandbox.
func served(t *testing.T, label, scenario string, change func(*plan.Skill)) []skill.Skill {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := &plan.Skill{
		Block: plan.Block{Plugin: skill.KindMCP, Label: label}, Command: []string{self}, Env: map[string]string{serveEnv: "1", mcpstandin.Env: scenario},
	}
	if change != nil {
		change(d)
	}
	skills, err := skill.Load(t.Context(), []*plan.Skill{d}, skill.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	return skills
}

func offered(r llm.Request) string {
	var names []string
	for _, tool := range r.Tools {
		names = append(names, tool.Name)
	}
	return strings.Join(names, " ")
}

func (b *bench) warnings() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var said []string
	for _, e := range b.events {
		if w, ok := e.(event.Warning); ok {
			said = append(said, w.Message)
		}
	}
	return strings.Join(said, "\n")
}

func TestToolsOfAnMCPServer(t *testing.T) {
	b := newBench(t, testllm.Script(
		testllm.Call("mcp__box__add", `{"a": 2, "b": 3}`, "mcp__box__whereami", `{}`, "mcp__box__fail", `{}`, "mcp__box__refuse", ``, "mcp__box__none", `{}`,
			"mcp__box__add", `{"a": "x"}`, "mcp__box__image", `{}`, "mcp__box__add", `["no object"]`),
		testllm.Say("ok")))
	b.skills = served(t, "box", "", nil)
	report := b.succeed()
	if report.Tools[0] != "mcp__box__add" {
		t.Errorf("%v", report.Tools)
	}
	first := b.llm.Requests()[0]
	if got := offered(first); !strings.HasPrefix(got, "bash read write edit mcp__box__add mcp__box__change") {
		t.Errorf("tools %s", got)
	}
	if tool := first.Tools[4]; tool.Description != "Adds two numbers." || !strings.Contains(string(tool.InputSchema), "the first number") {
		t.Errorf("%+v", tool)
	}
	if !strings.Contains(first.System, "Use add for sums.") || strings.Contains(first.System, "SKILL.md") {
		t.Errorf("system prompt\n%s", first.System)
	}
	for i, want := range []struct {
		text string
		err  bool
	}{
		{"5", false}, {b.sandbox.Host("/home/agent"), false}, {"the tool has failed", true}, {"answers with an error: not today", true},
		{"there is no tool", true}, {"validating", true}, {"image/png", false}, {"must be a JSON object", true},
	} {
		if got := b.results()[i]; !strings.Contains(got.Content, want.text) || got.Error != want.err {
			t.Errorf("call %d: %+v, want %q", i+1, got, want.text)
		}
	}
}

func TestResultsOfAnMCPServerAreBounded(t *testing.T) {
	b := newBench(t, testllm.Script(testllm.Call("mcp__box__long", `{}`), testllm.Say("ok")))
	b.agent.OutputBytes = 1001
	b.skills = served(t, "box", "", nil)
	b.succeed()
	got := b.results()[0].Content
	if !strings.HasPrefix(got, "head éé") || !strings.HasSuffix(got, "étail") || !strings.Contains(got, "bytes left out") || len(got) > 1100 || !utf8.ValidString(got) {
		t.Errorf("%d bytes: %.40q", len(got), got)
	}
}

func TestAnMCPServerThatIsNotReadyEndsTheRunBeforeTheModelIsAsked(t *testing.T) {
	b := newBench(t, testllm.Script(testllm.Say("no")))
	b.skills = append(served(t, "good", "", nil), served(t, "bad", "dead", nil)...)
	_, err := b.run(t.Context())
	if !errors.Is(err, errdef.ErrUnavailable) || !strings.Contains(err.Error(), "MCP server bad is not ready: it ended with status 7: it printed: no configuration found") {
		t.Errorf("%v", err)
	}
	if errdef.Remedy(err) == "" || len(b.llm.Requests()) > 0 {
		t.Errorf("%d requests, remedy %q", len(b.llm.Requests()), errdef.Remedy(err))
	}
}

func TestTheModelIsToldOfAnMCPServerThatDiesOrHangs(t *testing.T) {
	b := newBench(t, testllm.Script(testllm.Call("mcp__box__hang", `{}`), testllm.Call("mcp__box__die", `{}`), testllm.Call("mcp__box__add", `{}`), testllm.Say("without it, then")))
	b.agent.ToolTimeout = 100 * time.Millisecond
	b.skills = served(t, "box", "", func(d *plan.Skill) {})
	b.succeed()
	messages := b.llm.Requests()[3].Messages
	for i, want := range map[int]string{2: "did not answer within 100ms", 4: "is lost: it ended with status 3: it printed: I am dying", 6: "is lost: it ended with status 3"} {
		if got := messages[i].Parts[0].ToolResult; !got.Error || !strings.Contains(got.Content, want) {
			t.Errorf("%+v, want %q", got, want)
		}
	}
}

func TestToolsThatAppearAreOffered(t *testing.T) {
	called := false
	b := newBench(t, &testllm.LLM{Turn: func(_ context.Context, r llm.Request, _ func(llm.Progress) error) (llm.Turn, error) {
		switch {
		case len(r.Messages) == 1:
			return testllm.Call("mcp__box__change", `{}`), nil
		case called:
			return testllm.Say("ok"), nil
		case strings.Contains(offered(r), "new"):
			called = true
			return testllm.Call("mcp__box__new", `{}`), nil
		}
		return testllm.Call("mcp__box__echo", `{"text":"not yet"}`), nil // the server's notice comes when it comes
	}})
	b.agent.MaxTurns = 1 << 20
	b.skills = served(t, "box", "", nil)
	b.succeed()
	requests := b.llm.Requests()
	last := requests[len(requests)-1]
	if got := offered(last); !strings.Contains(got, "mcp__box__new") || strings.Contains(got, "mcp__box__fail") {
		t.Errorf("tools %s", got)
	}
	if got := b.results()[0].Content; got != "new" {
		t.Errorf("the new tool says %q", got)
	}
	if got := b.warnings(); !strings.Contains(got, "MCP server box: it has changed its tools: it has new now, has fail no more") {
		t.Errorf("warnings %q", got)
	}
}

func TestSelectionOfForeignTools(t *testing.T) {
	b := newBench(t, testllm.Script(testllm.Say("ok")))
	b.skills = served(t, "box", "", nil)
	b.agent.Tools = []string{"read", "mcp__box__e*"}
	b.succeed()
	if got := offered(b.llm.Requests()[0]); got != "read mcp__box__echo mcp__box__env" {
		t.Errorf("tools %s", got)
	}
	b = newBench(t, testllm.Script(testllm.Say("ok")))
	b.skills = served(t, "box", "", nil)
	b.agent.Tools = []string{"mcp__other__*"}
	if _, err := b.run(t.Context()); !errors.Is(err, errdef.ErrInvalid) || !strings.Contains(errdef.Remedy(err), "mcp__box__add") {
		t.Errorf("%v: %s", err, errdef.Remedy(err))
	}
}

func TestNamesOfForeignTools(t *testing.T) {
	long := strings.Repeat("x", 100)
	seen := map[string]string{}
	for _, c := range []struct{ name, want string }{
		{"read_file", "mcp__s__read_file"}, {"a b", "mcp__s__a_b_"}, {"a/b", "mcp__s__a_b_"}, {"é", "mcp__s____"}, {long, "mcp__s__xxxx"}, {long + "y", "mcp__s__xxxx"},
	} {
		got := ForeignName("mcp__s__", c.name)
		if !strings.HasPrefix(got, c.want) || len(got) > maxToolName || notInToolName.MatchString(got) || seen[got] != "" {
			t.Errorf("%.20q becomes %q, as does %q", c.name, got, seen[got])
		}
		seen[got] = c.name
	}
}
