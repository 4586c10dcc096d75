package cli

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/modelserver/modeltest"
	"github.com/voidbox-run/voidbox/internal/testagent"
)

// optIn ends a test that is not for everybody.
func optIn(t *testing.T) {
	if os.Getenv("VOIDBOX_TEST_CLI") != "1" {
		t.Skip("for make test-cli: it fetches a proprietary program, or takes long")
	}
}

// Codex with a model that it knows writes programs, which call its tools.
func TestCodexInCodeMode(t *testing.T) {
	optIn(t)
	codex(t, "gpt-5.6-terra")
}

// Claude Code, the real one, uses Bash and Write and the tool of its MCP server.
func TestClaudeCode(t *testing.T) {
	optIn(t)
	img := testagent.Image(t, "claude-code")
	server, url := modeltest.Serve(t, modelserver.Config{Key: key, Rules: testagent.ClaudeRules("I need the word first.")})
	out := testagent.Trial{
		File: "testdata/claude.hcl", Env: []string{"ANTHROPIC_API_KEY=" + key}, Key: key, Server: server,
		Vars: map[string]string{"image": img, "base_url": url},
	}.Run(t)
	t.Logf("searched: %s\n%s", strings.Join(out.Searched, ", "), out.Said)
	if out.Err != nil || out.Status != event.Succeeded {
		t.Fatalf("%v: %s", out.Err, out.Error)
	}
	if out.Output != "Linux\npetrichor\n" || !strings.Contains(out.Said, "The report is written.") {
		t.Errorf("the file that Claude Code wrote in the guest is %q", out.Output)
	}
	stage := out.Stages["reporter"]
	if !slices.Equal(stage.Tools, []string{"mcp__almanac__word_of_the_day", "Bash", "Write"}) || stage.Model != "claude-sonnet-5-5" {
		t.Errorf("model %q, tools %q", stage.Model, stage.Tools)
	}
	if got := stage.Totals; got.InputTokens != 3400 || got.OutputTokens != 160 || got.CacheReadTokens != 7000 || !got.CostKnown || got.CostUSD <= 0 {
		t.Errorf("totals %+v", got)
	}
	said(t, server, "X-Api-Key", key)
}

// said looks at what the model was told: the key, of which nobody but the server knows, the skill and the tool.
func said(t *testing.T, server *modelserver.Server, header, value string) {
	t.Helper()
	received := server.Received()
	for _, r := range received {
		if r.Header.Get(header) != value {
			t.Errorf("%s %s came with %q", r.Method, r.Path, r.Header.Get(header))
		}
	}
	for what, text := range map[string]string{
		"skill": "How reports are written in this house.", "tool of the MCP server": "word_of_the_day", "its description": "Tells the word of the day.",
	} {
		if len(received) == 0 || !bytes.Contains(received[0].Body, []byte(text)) {
			t.Errorf("the first of %d requests says nothing of the %s", len(received), what)
		}
	}
}
