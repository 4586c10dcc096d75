package claudecode

import (
	"errors"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

func TestPlan(t *testing.T) {
	req := llm.CLIRequest{
		Prompt: "--help me", System: "be brief", Model: "m", BaseURL: "http://10.0.2.2:8080", Placeholder: "ph", MaxTurns: 3, Home: "/home/sandbox",
		MCPServers: []llm.MCPServer{{Name: "a", Command: []string{"run", "it"}, Env: map[string]string{"E": "1"}}, {Name: "b", URL: "http://h/mcp"}},
	}
	key := llm.Credential{Name: "api_key", Upstream: "https://api.anthropic.com", Header: "x-api-key"}
	p, err := Plan(req, Options{Upstream: "https://api.anthropic.com", Credential: &key, Env: map[string]string{"MORE": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	want := "claude -p --output-format stream-json --verbose --include-partial-messages --dangerously-skip-permissions --model m --max-turns 3 " +
		"--append-system-prompt be brief --mcp-config /home/sandbox/.voidbox/claude-mcp.json --strict-mcp-config"
	if got := strings.Join(p.Args, " "); got != want {
		t.Errorf("arguments\n got %s\nwant %s", got, want)
	}
	for name, value := range map[string]string{
		"ANTHROPIC_BASE_URL": "http://10.0.2.2:8080", "ANTHROPIC_API_KEY": "ph", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
		"DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_MAX_RETRIES": "2", "MORE": "1",
	} {
		if p.Env[name] != value {
			t.Errorf("%s=%s, want %s", name, p.Env[name], value)
		}
	}
	if _, set := p.Env["ENABLE_TOOL_SEARCH"]; set {
		t.Error("ENABLE_TOOL_SEARCH is set for Anthropic's own models")
	}
	if string(p.Stdin) != "--help me" || len(p.Credentials) != 1 || p.Hosts[0] != "10.0.2.2:8080" || strings.Join(p.Programs, " ") != "claude bash" {
		t.Errorf("%+v", p)
	}
	for _, part := range []string{`"command": "run"`, `"it"`, `"E": "1"`, `"type": "http"`, `"url": "http://h/mcp"`} {
		if !strings.Contains(string(p.Files[0].Content), part) {
			t.Errorf("%s lacks %s", p.Files[0].Content, part)
		}
	}
}

func TestPlanForAnotherServer(t *testing.T) {
	p, err := Plan(llm.CLIRequest{Prompt: "p", Model: "m"}, Options{Command: "/opt/claude", Upstream: "http://127.0.0.1:11434", Foreign: true})
	if err != nil {
		t.Fatal(err)
	}
	if p.Env["ENABLE_TOOL_SEARCH"] != "false" || p.Env["ANTHROPIC_API_KEY"] == "" || p.Env["ANTHROPIC_BASE_URL"] != "http://127.0.0.1:11434" {
		t.Errorf("%v", p.Env)
	}
	if len(p.Credentials) != 0 || p.Programs[0] != "/opt/claude" || p.Hosts[0] != "127.0.0.1:11434" {
		t.Errorf("%+v", p)
	}
	if _, err := Plan(llm.CLIRequest{}, Options{}); !errors.Is(err, errdef.ErrInvalid) {
		t.Errorf("an empty prompt: %v", err)
	}
}
