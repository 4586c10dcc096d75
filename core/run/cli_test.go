package run_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/core/run"
	"github.com/voidbox-run/voidbox/internal/testbin"
)

// cliPlan is a plan of one agent that is Claude Code's stand-in. In memory it is built in; into a VM it is copied.
func cliPlan(t *testing.T, backend, scenario string, change func(*plan.AgentRun)) *plan.Plan {
	block := map[string]any{"base_url": "http://127.0.0.1:1", "command": "claude-stand-in", "cli_env": map[string]string{"CLAUDE_STAND_IN": scenario}}
	if backend != "mock" {
		delete(block, "command")
		block["command_file"] = filepath.Join(testbin.Dir(t), "claude-stand-in")
	}
	config, err := json.Marshal(block)
	if err != nil {
		t.Fatal(err)
	}
	p := agentPlan(backend, "", "Do it.")
	a := p.Agents[0]
	a.LLM.Plugin, a.LLM.Config = "claude", config
	bind := a.Bind
	a.Bind = func() (*plan.AgentRun, error) {
		bound, err := bind()
		bound.Mode = "cli"
		if change != nil {
			change(bound)
		}
		return bound, err
	}
	return p
}

func TestCommandLineAgentWorksInItsSandbox(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		result, err := w.execute(t.Context(), func(*pluginhost.Host) *plan.Plan {
			return cliPlan(t, w.backend, "tools", func(a *plan.AgentRun) { a.OutputFile = "stand-in.txt" })
		})
		if err != nil {
			t.Fatalf("%v\n%+v", err, result)
		}
		// The file is read out of the sandbox by voidbox, and holds what id and pwd said there.
		if lines := strings.Fields(result.Output); len(lines) != 4 || lines[1] != "Linux" || lines[2] != "1000" {
			t.Errorf("output %q", result.Output)
		}
		stage := result.Stages["seeker"]
		if !slices.Equal(stage.Tools, []string{"Bash", "Write", "Read"}) || stage.Turns != 5 || stage.Totals.InputTokens != 500 || stage.Totals.CostKnown {
			t.Errorf("%+v", stage)
		}
		want := " stage_started agent_started text usage tool_call usage tool_result tool_call usage tool_result tool_call usage tool_result text usage"
		if got := w.types()["seeker"]; !strings.Contains(strings.ReplaceAll(got, " sandbox_starting sandbox_ready", ""), want[len(" stage_started"):]) {
			t.Errorf("events%s\nlack  %s", got, want)
		}
	})
}

// The agent's own file names the MCP servers of its skills, where the agent is told to look for it.
func TestCommandLineAgentIsToldOfItsMCPServers(t *testing.T) {
	w := &world{t: t, backend: "mock"}
	result, err := w.execute(t.Context(), func(*pluginhost.Host) *plan.Plan {
		return cliPlan(t, w.backend, "simple", func(a *plan.AgentRun) {
			a.Skills = []*plan.Skill{{Block: plan.Block{Plugin: "mcp", Label: "files"}, Command: []string{"sh", "-c", "exec server"}}}
			a.OutputFile = "/home/agent/.voidbox/claude-mcp.json"
		})
	})
	if err != nil || !strings.Contains(result.Output, `"files"`) || !strings.Contains(result.Output, `"exec server"`) {
		t.Errorf("%v, %q", err, result.Output)
	}
}

func TestCommandLineAgentThatFailsOrFloods(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		for scenario, want := range map[string]string{
			"error":  "Invalid API key",
			"silent": "ended with status 3 before it gave a result",
			"crash":  "ended with status 3 before it gave a result",
			"model":  "connection error",
		} {
			if w.backend != "mock" && scenario != "error" {
				continue // what differs between backends is how the program ends, and one such end is enough
			}
			result, err := w.execute(t.Context(), func(*pluginhost.Host) *plan.Plan { return cliPlan(t, w.backend, scenario, nil) })
			if run.ExitCode(err) != run.ExitFailed || !strings.Contains(fmt.Sprint(err), want) || result.Status != event.Failed {
				t.Errorf("%s: %v, want %s", scenario, err, want)
			}
		}
		result, err := w.execute(t.Context(), func(*pluginhost.Host) *plan.Plan {
			return cliPlan(t, w.backend, "heavy", func(a *plan.AgentRun) { a.MaxTurns = 300 })
		})
		if err != nil || result.Output != "200 calls, 490 digits" || len(result.Stages["seeker"].Tools) != 200 {
			t.Errorf("heavy: %v, %q, %d tools", err, result.Output, len(result.Stages["seeker"].Tools))
		}
	})
}

func TestBudgetOfACommandLineAgent(t *testing.T) {
	w := &world{t: t, backend: "mock"}
	result, err := w.execute(t.Context(), func(*pluginhost.Host) *plan.Plan {
		return cliPlan(t, w.backend, "heavy", func(a *plan.AgentRun) { a.Budget.Tokens = 1000 })
	})
	if err == nil || !strings.Contains(err.Error(), "limit of 1000 tokens") {
		t.Errorf("%v", err)
	}
	if n := len(result.Stages["seeker"].Tools); n == 0 || n > 20 {
		t.Errorf("%d tools ran", n)
	}
}

func TestCommandLineAgentThatIsNotThere(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		_, err := w.execute(t.Context(), func(*pluginhost.Host) *plan.Plan {
			p := cliPlan(t, w.backend, "simple", nil)
			p.LLMs[0].Config = []byte(`{"base_url": "http://127.0.0.1:1", "command": "claude"}`)
			return p
		})
		if err == nil || !strings.Contains(err.Error(), `the agent's program "claude" is not in the sandbox`) {
			t.Errorf("%v", err)
		}
	})
}
