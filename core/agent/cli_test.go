package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/skill"
	"github.com/voidbox-run/voidbox/internal/testllm"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// guest is a command-line agent: a shell script that prints lines which parse knows.
func guest(script string) *testllm.LLM {
	return &testllm.LLM{
		Description: &llm.Description{CLI: true, DefaultModel: "m", Models: []llm.Model{{ID: "m"}}},
		Plan: llm.CLIPlan{
			Args: []string{"/bin/sh", "-c", script}, Programs: []string{"sh"}, Env: map[string]string{"WHO": "cli"}, Stdin: []byte("from stdin"),
			Files: []llm.File{{Path: "/home/agent/conf", Content: []byte("conf"), Mode: 0o600}},
		},
		Line: func(line []byte) ([]llm.Event, error) {
			kind, rest, _ := strings.Cut(string(line), " ")
			switch kind {
			case "init":
				return []llm.Event{llm.Init{Model: rest, Tools: []string{"Bash"}}}, nil
			case "text":
				return []llm.Event{llm.Text{Text: rest}}, nil
			case "call":
				return []llm.Event{llm.ToolCall{ID: "1", Name: "Bash", Arguments: json.RawMessage(rest)}}, nil
			case "result":
				return []llm.Event{llm.ToolResult{CallID: "1", Content: rest}}, nil
			case "usage":
				return []llm.Event{llm.Usage{InputTokens: 10}}, nil
			case "end":
				return []llm.Event{llm.Result{Text: rest, Turns: 2, Usage: llm.Usage{InputTokens: 20}}}, nil
			case "fail":
				return []llm.Event{llm.Result{Error: rest}}, nil
			case "garbage":
				return nil, errors.New("cannot parse this")
			}
			return nil, nil
		},
	}
}

func TestCommandLineAgentSendsTheSameEvents(t *testing.T) {
	long := fmt.Sprintf("head -c %d /dev/zero | tr '\\0' 'x'; echo", llm.MaxLineBytes+1)
	b := newBench(t, guest(`echo init big; echo unknown; echo "text $WHO $(cat) $(cat conf)"; echo 'call {"a":1}'; echo 'result r'; echo usage; `+long+`; printf 'end done'`))
	report := b.succeed()
	if report.Output != "done" || report.Mode != ModeCLI || report.Model != "big" || report.Turns != 2 || report.Totals.InputTokens != 20 {
		t.Errorf("report %+v", report)
	}
	var got []string
	for _, e := range b.events {
		got = append(got, e.Type())
	}
	if want := "agent_started text tool_call tool_result usage warning"; strings.Join(got, " ") != want {
		t.Errorf("events %v, want %s", got, want)
	}
	if text := b.events[1].(event.Text); text.Text != "cli from stdin conf" {
		t.Errorf("text %q", text.Text)
	}
	if r := b.events[3].(event.ToolResult); r.Tool != "Bash" {
		t.Errorf("%+v", r)
	}
	if req := b.llm.CLIRequest(); req.Prompt != "do it" || req.Home != "/home/agent" || req.MaxTurns != plan.DefaultMaxTurns {
		t.Errorf("%+v", req)
	}
}

func TestCommandLineAgentThatFails(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"no result":         {"echo text x; echo why >&2; exit 1", "ended with status 1 before it gave a result: why"},
		"result is error":   {"echo fail no key", "no key"},
		"status after all":  {"echo end fine; exit 4", "ended with status 4"},
		"parser gives up":   {"echo garbage; sleep 1000", "cannot parse this"},
		"budget is reached": {"echo usage; echo usage; sleep 1000", "limit of 15 tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, guest(c.script))
			b.agent.Budget.Tokens = 15
			if _, err := b.run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestCommandLineAgentNeedsItsProgramsAndABroker(t *testing.T) {
	model := guest("true")
	model.Plan.Programs = []string{"no-such-program"}
	if _, err := newBench(t, model).run(t.Context()); !errors.Is(err, errdef.ErrNotFound) || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("got %v", err)
	}
	model = guest("true")
	model.Plan.Credentials = []llm.Credential{{Name: "key"}}
	if _, err := newBench(t, model).run(t.Context()); !errors.Is(err, errdef.ErrState) {
		t.Errorf("got %v", err)
	}
	model = guest("true")
	model.Plan.Files = []llm.File{{Path: "relative"}}
	b := newBench(t, model)
	if _, err := b.run(t.Context()); err == nil || !strings.Contains(err.Error(), "no absolute path") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(b.sandbox.Root, "relative")); err == nil {
		t.Error("the file was written")
	}
}

func TestModes(t *testing.T) {
	both, cli, native := llm.Description{CLI: true, Native: true}, llm.Description{CLI: true}, llm.Description{Native: true}
	for _, c := range []struct {
		wanted string
		has    llm.Description
		mode   string
	}{
		{"", both, "native"}, {"auto", cli, "cli"}, {"cli", both, "cli"}, {"native", both, "native"},
		{"cli", native, ""}, {"native", cli, ""}, {"auto", llm.Description{}, ""}, {"x", both, ""},
	} {
		mode, err := chooseMode(c.wanted, c.has)
		if mode != c.mode || (err != nil) != (c.mode == "") {
			t.Errorf("%q with %+v: %q, %v", c.wanted, c.has, mode, err)
		}
	}
}

// A command-line agent is told of its MCP servers, and is not started where one of them cannot be.
func TestMCPServers(t *testing.T) {
	server := func(command ...string) []skill.Skill {
		skills, err := skill.Load(t.Context(), []*plan.Skill{
			{Block: plan.Block{Plugin: skill.KindMCP, Label: "files"}, Command: command, Env: map[string]string{"A": "b"}},
			{Block: plan.Block{Plugin: skill.KindMCP, Label: "far"}, URL: "http://host/mcp"},
		}, skill.Sources{})
		if err != nil {
			t.Fatal(err)
		}
		return skills
	}
	b := newBench(t, guest("echo end done"))
	b.skills = server("sh", "-c", "x")
	if report := b.succeed(); report.Mode != ModeCLI {
		t.Errorf("mode %s", report.Mode)
	}
	want := []llm.MCPServer{{Name: "files", Command: []string{"sh", "-c", "x"}, Env: map[string]string{"A": "b"}}, {Name: "far", URL: "http://host/mcp"}}
	if got := b.llm.CLIRequest().MCPServers; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}

	b = newBench(t, guest("echo end done"))
	b.skills = server("no-such-server")
	_, err := b.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), `MCP server files: the agent's program "no-such-server" is not in the sandbox`) {
		t.Errorf("missing program: %v", err)
	}

	b = newBench(t, guest("echo end done"))
	b.skills = server("sh")
	b.skills[0].Servers[0].Host = true
	if _, err = b.run(t.Context()); !errors.Is(err, errdef.ErrUnsupported) || !strings.Contains(err.Error(), "the skill files is an MCP server that is reached from the host") {
		t.Errorf("server on the host: %v", err)
	}
}
