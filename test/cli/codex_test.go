package cli

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/modelserver/modeltest"
	"github.com/voidbox-run/voidbox/internal/testagent"
	"github.com/voidbox-run/voidbox/internal/testbin"
)

func TestMain(m *testing.M) { os.Exit(testbin.Run(m)) }

// key occurs nowhere else on this machine.
const key = "sk-canary-7c1e5f0b93"

// codexRules are the model's, by its name. Codex, told nothing of its model, gets the tools of the protocol one by one; for the models
// that it knows, one tool that takes programs, which call the others.
func codexRules(t *testing.T, model string) []modelserver.Rule {
	if model == "gpt-5.6-terra" {
		return []modelserver.Rule{
			{Tool: "exec", Match: `written on (\w+) as (\d+)`, Say: "Written on ${1} by user ${2}.",
				Usage: modelserver.Usage{InputTokens: 1700, OutputTokens: 70, CacheReadTokens: 3500}},
			{Match: "word of the day", Say: "I look the word up.", Thinking: "I need the word first.", Call: "exec", Custom: true,
				Arguments: `const w = await tools.mcp__almanac__word_of_the_day({}); const word = w.content[0].text.split(" ").pop();
				const r = await tools.exec_command({cmd: "(uname -s; echo " + word + ") | tee /workspace/report.txt; echo written on $(uname -s) as $(id -u)"});
				text(r.output);`,
				Usage: modelserver.Usage{InputTokens: 2000, OutputTokens: 50}},
		}
	}
	text, err := os.ReadFile("../../examples/models/codex.json")
	var cfg modelserver.Config
	if err == nil {
		err = json.Unmarshal(text, &cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Rules
}

// codex runs examples/codex.hcl and looks at everything that the issue promises of it.
func codex(t *testing.T, model string) {
	img := testagent.Image(t, "codex")
	server, url := modeltest.Serve(t, modelserver.Config{Key: key, Rules: codexRules(t, model)})
	out := testagent.Trial{
		File: "../../examples/codex.hcl", Env: []string{"OPENAI_API_KEY=" + key}, Key: key, Server: server,
		Vars: map[string]string{"backend": "qemu", "image": img, "model": model, "base_url": url, "input_price": "2", "output_price": "10"},
	}.Run(t)
	t.Logf("searched: %s\n%s", strings.Join(out.Searched, ", "), out.Said)
	if out.Err != nil || out.Status != event.Succeeded {
		t.Fatalf("%v: %s", out.Err, out.Error)
	}
	if out.Output != "Linux\npetrichor\n" || !strings.Contains(out.Said, "Written on Linux by user 1000.") {
		t.Errorf("the file that Codex wrote in the guest is %q", out.Output)
	}
	stage := out.Stages["reporter"]
	if !slices.Equal(stage.Tools, []string{"almanac.word_of_the_day", "shell"}) || stage.Model != model {
		t.Errorf("model %q, tools %q", stage.Model, stage.Tools)
	}
	// $2 for 3.7 k tokens, cached ones at the same price, since no other was named, and $10 for 120.
	want := event.Totals{InputTokens: 3700, OutputTokens: 120, CacheReadTokens: 3500, CostUSD: 0.0156, CostKnown: true}
	if stage.Totals.CostUSD = float64(int(stage.Totals.CostUSD*1e6+0.5)) / 1e6; stage.Totals != want {
		t.Errorf("totals %+v, want %+v", stage.Totals, want)
	}
	said(t, server, "Authorization", "Bearer "+key)
}

func TestCodex(t *testing.T) { codex(t, "gpt-test") }
