package codex

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

func parse(t testing.TB, text []byte) []llm.Event {
	t.Helper()
	p := NewParser()
	var all []llm.Event
	for _, line := range bytes.Split(text, []byte("\n")) {
		events, err := p.Line(line)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, events...)
	}
	events, err := p.Close()
	if err != nil {
		t.Fatal(err)
	}
	return append(all, events...)
}

func TestRecordedStream(t *testing.T) {
	text, err := os.ReadFile("testdata/codex-tool-turn.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	used := llm.Usage{InputTokens: 180, CacheReadTokens: 20, OutputTokens: 14}
	want := []llm.Event{
		llm.Init{Session: "01a2038d-b08d-7081-bdb8-c36e95225775"},
		llm.ToolCall{ID: "item_1", Name: "shell", Arguments: []byte(`{"command":"/bin/bash -lc 'echo hello-from-tool \u003e out.txt; cat out.txt; id -u'"}`)},
		llm.ToolResult{CallID: "item_1", Content: "hello-from-tool\n1000\n"},
		llm.Text{Text: "final answer"},
		used,
		llm.Result{Text: "final answer", Turns: 1, Usage: used},
	}
	if got := parse(t, text); !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func TestLines(t *testing.T) {
	for stream, want := range map[string][]llm.Event{
		`{"type":"item.completed","item":{"id":"a","type":"mcp_tool_call","server":"s","tool":"t","arguments":{"x":1},"result":{"content":[{"type":"text","text":"pong"}]},"status":"completed"}}`: {
			llm.ToolCall{ID: "a", Name: "s.t", Arguments: []byte(`{"x":1}`)}, llm.ToolResult{CallID: "a", Content: "pong"}},
		`{"type":"item.completed","item":{"id":"a","type":"mcp_tool_call","server":"s","tool":"t","error":{"message":"gone"},"status":"failed"}}`: {
			llm.ToolCall{ID: "a", Name: "s.t"}, llm.ToolResult{CallID: "a", Content: "gone", Error: true}},
		`{"type":"item.completed","item":{"id":"b","type":"command_execution","command":"false","aggregated_output":"","exit_code":1,"status":"failed"}}`: {
			llm.ToolCall{ID: "b", Name: "shell", Arguments: []byte(`{"command":"false"}`)}, llm.ToolResult{CallID: "b", Error: true}},
		`{"type":"item.completed","item":{"id":"c","type":"reasoning","text":"hm"}}`:                                                        {llm.Text{Text: "hm", Thinking: true}},
		`{"type":"error","message":"Reconnecting... 1/5"}`:                                                                                  {llm.Retry{Reason: "Reconnecting... 1/5"}},
		`{"type":"turn.failed","error":{"message":"401 Unauthorized"}}`:                                                                     {llm.Result{Error: "Codex: 401 Unauthorized", Turns: 1}},
		"{\"type\":\"turn.completed\"}\n{\"type\":\"turn.completed\",\"usage\":{\"input_tokens\":5}}":                                       {llm.Usage{InputTokens: 5}, llm.Result{Turns: 2, Usage: llm.Usage{InputTokens: 5}}},
		`{"type":"item.completed","item":{"id":"d","type":"todo_list","items":[]}}`:                                                         nil,
		`{"type":"thread.started"}` + "\n" + `{"type":"thread.started"}`:                                                                    {llm.Init{}},
		`{"type":"item.completed"}` + "\n" + `{"type":"item.started","item":{"type":7}}` + "\n" + `{"type":"turn.completed","usage":"odd"}`: {llm.Result{Turns: 1}},
	} {
		if got := parse(t, []byte(stream)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %+v\nwant %+v", stream, got, want)
		}
	}
}

func TestPlan(t *testing.T) {
	req := llm.CLIRequest{
		Prompt: "-x", System: "a \"b\"\n<c>\x7f", Model: "gpt-x", BaseURL: "http://10.0.2.2:81/v1", Placeholder: "ph", Home: "/home/sandbox",
		MCPServers: []llm.MCPServer{{Name: "m", Command: []string{"run", "it"}, Env: map[string]string{"E": "1"}}, {Name: "n", URL: "http://h"}},
	}
	p, err := Plan(req, Options{Upstream: "https://api.openai.com/v1", Effort: "low", Credential: &llm.Credential{Name: "api_key"}})
	if err != nil {
		t.Fatal(err)
	}
	const args = "codex exec --json --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox --model gpt-x -"
	if got := strings.Join(p.Args, " "); got != args || string(p.Stdin) != "-x" || p.Env["OPENAI_API_KEY"] != "ph" || len(p.Credentials) != 1 {
		t.Errorf("%+v", p)
	}
	const want = `model_provider = "voidbox"
check_for_update_on_startup = false
developer_instructions = "a \"b\"\n<c>\u007f"
model_reasoning_effort = "low"

[analytics]
enabled = false

[features]
apps = false
plugins = false
remote_plugin = false
unbounded_connection_retries = false

[model_providers.voidbox]
name = "voidbox"
base_url = "http://10.0.2.2:81/v1"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
request_max_retries = 2
stream_max_retries = 2

[mcp_servers."m"]
command = "run"
args = ["it"]

[mcp_servers."m".env]
"E" = "1"

[mcp_servers."n"]
url = "http://h"
`
	if f := p.Files[0]; string(f.Content) != want || f.Path != "/home/sandbox/.codex/config.toml" || f.Mode != 0o600 {
		t.Errorf("%s\n%s", f.Path, f.Content)
	}
	req.Prompt = ""
	if _, err := Plan(req, Options{}); !errors.Is(err, errdef.ErrInvalid) {
		t.Errorf("an empty prompt: %v", err)
	}
}

func FuzzParser(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.jsonl")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		first := parse(t, text)
		if again := parse(t, text); !reflect.DeepEqual(first, again) {
			t.Error("the same stream gave other events")
		}
	})
}
