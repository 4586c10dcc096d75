package modelpeers

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/internal/testagent"
)

// Claude Code, the real one, in a VM, on a local model: its requests go through the broker, which has no key to add, and through
// Ollama's own middleware.
func TestClaudeCodeThroughOllama(t *testing.T) {
	if os.Getenv("VOIDBOX_TEST_CLI") != "1" {
		t.Skip("for make test-cli: it fetches a proprietary program")
	}
	img := testagent.Image(t, "claude-code")
	server, url := ollamaWith(t, testagent.ClaudeRules(""))
	out := testagent.Trial{
		File: "../cli/testdata/claude.hcl", Env: []string{"ANTHROPIC_API_KEY=unused"},
		Vars: map[string]string{"image": img, "base_url": url, "ollama": "true", "model": "qwen:8b"},
	}.Run(t)
	t.Log(out.Said)
	if out.Err != nil || out.Status != event.Succeeded {
		t.Fatalf("%v: %s", out.Err, out.Error)
	}
	if out.Output != "Linux\npetrichor\n" || !strings.Contains(out.Said, "The report is written.") {
		t.Errorf("the file that Claude Code wrote in the guest is %q", out.Output)
	}
	stage := out.Stages["reporter"]
	if !slices.Equal(stage.Tools, []string{"mcp__almanac__word_of_the_day", "Bash", "Write"}) || stage.Model != "qwen:8b" {
		t.Errorf("model %q, tools %q", stage.Model, stage.Tools)
	}
	// A model of one's own costs nothing, and that is known.
	if got := stage.Totals; got.InputTokens == 0 || got.OutputTokens != 160 || !got.CostKnown || got.CostUSD != 0 {
		t.Errorf("totals %+v", got)
	}
	asked := 0
	for _, r := range server.Received() {
		if r.Path != "/api/chat" {
			continue
		}
		if asked++; asked == 1 && !(bytes.Contains(r.Body, []byte("How reports are written in this house.")) && bytes.Contains(r.Body, []byte("Tells the word of the day."))) {
			t.Error("the model was told neither of the skill nor of the tool")
		}
	}
	if asked != 4 {
		t.Errorf("the model was asked %d times", asked)
	}
}
