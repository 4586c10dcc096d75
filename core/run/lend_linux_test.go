package run_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/agent"
	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/modelserver/modeltest"
	"github.com/voidbox-run/voidbox/internal/testagent"
	"github.com/voidbox-run/voidbox/internal/testbin"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

const canary = "sk-ant-canary-5d1c0e"

// search looks for the canary wherever a guest's program may look, and tells what stands in its place. The pattern is one that does
// not match itself.
const search = `{"command": "env; (cat /proc/*/environ /proc/*/cmdline; grep -rs 'sk-ant-[c]anary' /tmp /home /root /etc /run) 2>/dev/null | grep -a -c 'sk-ant-[c]anary'; echo done"}`

// lentPlan is an agent in a VM, whose model is on the host's loopback and wants the canary.
func lentPlan(t *testing.T, url string, change func(*plan.AgentRun)) *plan.Plan {
	p := cliPlan(t, "qemu", "model", change)
	llm := p.Agents[0].LLM
	var config map[string]any
	if err := json.Unmarshal(llm.Config, &config); err != nil {
		t.Fatal(err)
	}
	config["base_url"], config["api_key"] = url, canary
	llm.Config, _ = json.Marshal(config)
	p.Secrets = []plan.Secret{{Value: canary}}
	return p
}

func lentWorld(t *testing.T) *world {
	testbin.Dir(t)
	return &world{t: t, backend: "qemu", images: testvm.Require(t).Cache}
}

// The guest has the use of the key, and the key is nowhere in it.
func TestKeyStaysOnTheHost(t *testing.T) {
	w := lentWorld(t)
	server, url := modeltest.Serve(t, modelserver.Config{Key: canary, Rules: []modelserver.Rule{
		{Match: "Do it", Call: "Bash", Arguments: search},
		{Tool: "Bash", Match: `(?s).*`, Say: "I have looked everywhere."},
	}})
	look := testagent.NewSearch(t, os.Getpid(), canary)
	server.Watch(look.Request)
	result, err := w.execute(t.Context(), func(*pluginhost.Host) *plan.Plan { return lentPlan(t, url, nil) })
	if err != nil {
		t.Fatalf("%v\n%+v", err, result)
	}
	t.Logf("looked for the key in %s", strings.Join(look.Searched(), ", "))
	received := server.Received()
	if len(received) != 2 || !strings.Contains(result.Output, "looked everywhere") {
		t.Fatalf("%d requests, output %q", len(received), result.Output)
	}
	found := string(received[1].Body)
	for _, want := range []string{"ANTHROPIC_API_KEY=vbx-", "ANTHROPIC_BASE_URL=http://10.0.2.2:7790", `\n0\n`, "done"} {
		if !strings.Contains(found, want) {
			t.Errorf("the search lacks %s: %s", want, found)
		}
	}
	for _, r := range received {
		if r.Header.Get("X-Api-Key") != canary || bytes.Contains(r.Body, []byte(canary)) {
			t.Errorf("the server received %s: %s", r.Header, r.Body)
		}
	}
	look.Left(filepath.Dir(result.Dir), result.Output)
	for _, e := range w.events {
		if text, _ := json.Marshal(e); bytes.Contains(text, []byte(canary)) {
			t.Errorf("an event holds the key: %s", text)
		}
	}
}

// A budget holds though the agent in the guest is a program that counts as it likes.
func TestBudgetOfACommandLineAgentIsKeptOnTheHost(t *testing.T) {
	w := lentWorld(t)
	server, url := modeltest.Serve(t, modelserver.Config{Key: canary, Rules: []modelserver.Rule{
		{Match: ".*", Call: "Bash", Arguments: `{"command": "echo again"}`, Usage: modelserver.Usage{InputTokens: 400, OutputTokens: 100}},
		{Tool: "Bash", Match: `.*`, Call: "Bash", Arguments: `{"command": "echo again"}`, Usage: modelserver.Usage{InputTokens: 400, OutputTokens: 100}},
	}})
	result, err := w.execute(t.Context(), func(*pluginhost.Host) *plan.Plan {
		return lentPlan(t, url, func(a *plan.AgentRun) { a.Budget.Tokens = 900 })
	})
	var limit *agent.LimitError
	if !errors.As(err, &limit) || limit.Limit != agent.LimitTokens || result.Status != event.Failed {
		t.Fatalf("%v\n%+v", err, result)
	}
	if n := len(server.Received()); n != 2 {
		t.Errorf("%d requests passed", n)
	}
	// The agent's program was ended before it could say what it took; the broker has counted it.
	if got := result.Stages["seeker"].Totals; got.InputTokens != 800 || got.OutputTokens != 200 {
		t.Errorf("totals %+v", got)
	}
}

// A key that the provider refuses is the user's to mend, and the run says so.
func TestRefusedKeyIsTold(t *testing.T) {
	w := lentWorld(t)
	_, url := modeltest.Serve(t, modelserver.Config{Key: "another"})
	_, err := w.execute(t.Context(), func(*pluginhost.Host) *plan.Plan { return lentPlan(t, url, nil) })
	if err == nil {
		t.Fatal("it succeeded")
	}
	for _, e := range w.events {
		if warning, ok := e.Data.(event.Warning); ok && strings.Contains(warning.Message, "refuses the key (401") && strings.Contains(warning.Remedy, "claude.") {
			return
		}
	}
	t.Errorf("nothing is said of the key; the run ended with %v", err)
}
