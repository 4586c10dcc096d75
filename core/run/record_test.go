package run_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/modelserver/modeltest"
)

// What a model said to one run is what the recording says to another, tools that really run included.
func TestRecordingIsPlayed(t *testing.T) {
	const key, prompt = "sk-canary-4711", "Find the {{ nonce }}\nin $x (really)."
	_, url := modeltest.Serve(t, modelserver.Config{Key: key, Rules: []modelserver.Rule{
		{Match: "nonce", Say: "I look for {{ it }}.", Thinking: "Let me see.", Call: "bash", Arguments: `{"command": "echo '{{ nonce }}=42'"}`,
			Usage: modelserver.Usage{InputTokens: 10, OutputTokens: 20, CacheReadTokens: 30}},
		{Tool: "bash", Match: `\{\{ nonce \}\}=(\d+)`, Say: "It is ${1}, and the key is " + key + "."},
	}})
	file := filepath.Join(t.TempDir(), "tape.json")
	config := func(block map[string]any) json.RawMessage {
		text, err := json.Marshal(block)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	made := func(plugin string, block map[string]any) *plan.Plan {
		p := agentPlan("mock", "", prompt)
		p.LLMs[0].Plugin, p.LLMs[0].Config, p.LLMs[0].Price = plugin, config(block), &plan.Price{Input: 1, Output: 2, CacheRead: 3}
		p.Secrets = []plan.Secret{{Name: "secret.key", Value: key}}
		return p
	}
	live := &world{t: t, backend: "mock", record: file}
	first, err := live.execute(t.Context(), func(*pluginhost.Host) *plan.Plan {
		return made("claude", map[string]any{"base_url": url, "api_key": key})
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), key) {
		t.Fatalf("%v: %s", err, text)
	}
	played := &world{t: t, backend: "mock"}
	second, err := played.execute(t.Context(), func(*pluginhost.Host) *plan.Plan { return made("replay", map[string]any{"cassette": file}) })
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	a, b := first.Stages["seeker"], second.Stages["seeker"]
	if a.Output != b.Output || !reflect.DeepEqual(a.Tools, b.Tools) || a.Totals != b.Totals || a.Turns != b.Turns || !a.Totals.CostKnown {
		t.Errorf("\nlive   %+v\nplayed %+v", a, b)
	}
	if !reflect.DeepEqual(live.calls(), played.calls()) || !strings.HasPrefix(a.Output, "It is 42") {
		t.Errorf("\nlive   %q\nplayed %q\n%s", live.calls(), played.calls(), a.Output)
	}
}
