package run

import (
	"context"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/internal/testllm"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/network"
)

// commandLine is a provider whose agent prints one line and is done; done is called with it.
func commandLine(hosts []string, done func()) *testllm.LLM {
	return &testllm.LLM{
		Description: &llm.Description{CLI: true, DefaultModel: "m", Models: []llm.Model{{ID: "m"}}},
		Plan:        llm.CLIPlan{Args: []string{"/bin/sh", "-c", "echo done"}, Hosts: hosts},
		Line: func([]byte) ([]llm.Event, error) {
			done()
			return []llm.Event{llm.Result{Text: "done", Turns: 1}}, nil
		},
	}
}

// A command-line agent reaches its model although no rule of the file speaks of it, and nothing else that no rule speaks of.
func TestTheModelsHostsAreLetThrough(t *testing.T) {
	n := &plan.Network{Egress: &plan.Egress{Allow: []plan.EgressRule{{Origin: "a.hcl:3", Destination: "*.pypi.org:443"}}}}
	h := newWired(t, n, nil)
	got := map[string]network.Verdict{}
	h.host.llms["fake"] = commandLine([]string{"192.0.2.9:443", "api.example:443", "127.0.0.1:11434", "10.0.2.2:80"}, func() {
		g, err := h.started.networks.only("")
		if err != nil {
			t.Error(err)
			return
		}
		for _, host := range []string{"192.0.2.9", "api.example", "files.pypi.org", "192.0.2.10"} {
			if got[host], err = g.Explain(context.Background(), network.Flow{Protocol: network.TCP, Host: host, Port: 443}); err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := h.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for host, rule := range map[string]string{
		"192.0.2.9": "llm fake.main", "api.example": "llm fake.main", "files.pypi.org": "a.hcl:3", "192.0.2.10": "builtin:default",
	} {
		if v := got[host]; v.Rule != rule || (v.Action == network.Allow) != (rule != "builtin:default") {
			t.Errorf("%s: %+v, want it to be by %s", host, v, rule)
		}
	}
	if warned := pick[event.Warning](h); len(warned) != 1 || !strings.Contains(warned[0].Message, "127.0.0.1:11434") {
		t.Errorf("warnings %+v", warned)
	}
}

// A model that would make the policy one that cannot be held ends the run, with who wanted it.
func TestModelHostsThatCannotBeHeld(t *testing.T) {
	n := &plan.Network{Egress: &plan.Egress{Allow: []plan.EgressRule{{Origin: "a.hcl:3", Destination: "8.8.8.8:53"}}}}
	h := newWired(t, n, nil)
	h.host.llms["fake"] = commandLine([]string{"api.example:443"}, func() { t.Error("the agent was started") })
	if _, err := h.run(t.Context()); err == nil || !strings.Contains(err.Error(), "another resolver") {
		t.Errorf("error %v", err)
	}
}

func TestHostsOfAProvider(t *testing.T) {
	for name, tc := range map[string]struct {
		mode, want string
		native     bool
	}{
		"a command-line agent":      {"", "a.example:443", false},
		"voidbox's own loop":        {"", "", true},
		"both, and told to use one": {"cli", "a.example:443", true},
	} {
		model := commandLine([]string{"a.example:443"}, nil)
		model.Description.Native = tc.native
		a := agentOf("solo", func(r *plan.AgentRun) { r.Mode = tc.mode })
		hosts, err := LLMHosts(t.Context(), &fakeHost{t: t, llms: llms(model)}, a)
		if got := strings.Join(hosts, " "); err != nil || got != tc.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// A plugin that takes the place of one that died lets the guest through to its model, too.
func TestTheModelsHostsAreLetThroughAgain(t *testing.T) {
	n := &plan.Network{Egress: &plan.Egress{}}
	var h *harness
	h, host := newRelinking(t, n, nil)
	rule := ""
	h.host.llms["fake"] = commandLine([]string{"192.0.2.9:443"}, func() {
		host.kill()
		host.reconnect()
		g, err := h.started.networks.only("")
		if err != nil {
			t.Error(err)
			return
		}
		v, err := g.Explain(context.Background(), network.Flow{Protocol: network.TCP, Host: "192.0.2.9", Port: 443})
		if err != nil {
			t.Error(err)
		}
		rule = v.Rule
	})
	if _, err := h.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rule != "llm fake.main" {
		t.Errorf("the model is judged by %s", rule)
	}
}
