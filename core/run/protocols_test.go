package run_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/modelserver/modeltest"
)

// The native loop does the same task over every protocol, in a guest that has no network: the model is asked from the host.
func TestNativeLoopOverEveryProtocol(t *testing.T) {
	for name, c := range map[string]struct {
		plugin, path string
		block        map[string]any
	}{
		"messages":         {"claude", "/v1/messages", map[string]any{"api_key": canary}},
		"chat completions": {"openai", "/v1/chat/completions", map[string]any{"api": "chat", "api_key": canary}},
		"responses":        {"openai", "/v1/responses", map[string]any{"api": "responses", "api_key": canary}},
		"ollama":           {"ollama", "/api/chat", map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			backends(t, func(t *testing.T, w *world) {
				used := modelserver.Usage{InputTokens: 100, OutputTokens: 10}
				cfg := modelserver.Config{Models: []modelserver.Model{{Name: "m", Tools: true, Context: 65536}}, Rules: []modelserver.Rule{
					{Match: "who are you", Thinking: "I look.", Call: "bash", Arguments: `{"command": "echo cards=$(ls -d /sys/class/net/*/device 2>/dev/null); echo id=$(id -u)"}`, Usage: used},
					{Tool: "bash", Match: `id=(\d+)`, Call: "write", Arguments: `{"path": "/tmp/me", "content": "Nutzer ${1} 🚀"}`, Usage: used},
					{Tool: "write", Match: `.`, Call: "read", Arguments: `{"path": "/tmp/me"}`, Usage: used},
					{Tool: "read", Match: `Nutzer (\d+) 🚀`, Say: "I am ${1}.", Usage: used},
				}}
				if c.block["api_key"] != nil {
					cfg.Key = canary
				}
				server, url := modeltest.Serve(t, cfg)
				c.block["base_url"] = url
				config, err := json.Marshal(c.block)
				if err != nil {
					t.Fatal(err)
				}
				result, err := w.execute(t.Context(), func(*pluginhost.Host) *plan.Plan {
					p := agentPlan(w.backend, "", "who are you?")
					p.LLMs[0].Plugin, p.LLMs[0].Config, p.LLMs[0].Model = c.plugin, config, "m"
					return p
				})
				if err != nil || result.Output != "I am 1000." {
					t.Fatalf("%v, %q", err, result.Output)
				}
				stage := result.Stages["seeker"]
				if !slices.Equal(stage.Tools, []string{"bash", "write", "read"}) || stage.Totals.InputTokens != 400 || stage.Totals.OutputTokens != 40 {
					t.Errorf("%+v", stage)
				}
				var asked []modelserver.Received
				for _, r := range server.Received() {
					if r.Path == c.path {
						asked = append(asked, r)
					}
				}
				if len(asked) != 4 {
					t.Fatalf("the model was asked %d times at %s", len(asked), c.path)
				}
				if w.backend != "mock" && !strings.Contains(string(asked[1].Body), `"cards=\nid=`) {
					t.Errorf("the guest has a network card: %s", asked[1].Body)
				}
			})
		})
	}
}
