package run_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/pluginhost"
	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/modelserver/modeltest"
	"github.com/voidbox-run/voidbox/internal/testvm"
)

// A real MCP server runs in a real VM, as the agent's user, and is reached there by the native loop, though the VM has no network. One
// that dies in mid-call costs its own tools, and no more.
func TestMCPServerInAVM(t *testing.T) {
	means := testvm.Require(t)
	server := testvm.Build(t, "github.com/voidbox-run/voidbox/internal/mcpstandin/mcp-stand-in", "mcp-stand-in")
	w := &world{t: t, backend: "qemu", images: means.Cache}
	url := modeltest.Start(t, "unix",
		modelserver.Rule{Match: "^Where", Call: "mcp__in__whereami", Arguments: `{}`},
		modelserver.Rule{Tool: "mcp__in__whereami", Match: `(?s)^(.*)$`, Say: "It is ${1}, I see.", Call: "mcp__in__die", Arguments: `{}`},
		modelserver.Rule{Tool: "mcp__in__die", Match: `(?s)^(.*)$`, Say: "${1}"},
	)
	result, err := w.execute(t.Context(), func(*pluginhost.Host) *plan.Plan {
		p := agentPlan(w.backend, url, "Where are you?")
		a := p.Agents[0]
		a.Sandbox.Hostname = "within"
		a.Sandbox.Mounts = []plan.Mount{{Target: "/opt/mcp", Source: filepath.Dir(server), Mode: "ro"}}
		p.Skills = []*plan.Skill{{Block: plan.Block{Plugin: "mcp", Label: "in"}, Command: []string{"/opt/mcp/mcp-stand-in"}}}
		a.Skills = p.Skills
		bind := a.Bind
		a.Bind = func() (*plan.AgentRun, error) {
			bound, err := bind()
			bound.Skills = p.Skills
			return bound, err
		}
		return p
	})
	if err != nil {
		t.Fatalf("%v\n%+v", err, result)
	}
	if got := result.Stages["seeker"].Tools; !slices.Equal(got, []string{"mcp__in__whereami", "mcp__in__die"}) {
		t.Errorf("tools %q", got)
	}
	if !strings.Contains(result.Output, "MCP server in is lost: it ended with status 3: it printed: I am dying") {
		t.Errorf("output %q", result.Output)
	}
	said := ""
	for _, e := range w.events {
		if text, ok := e.Data.(event.Text); ok && !text.Partial {
			said += "\n" + text.Text
		}
	}
	if !strings.Contains(said, "host within, uid 1000, in ") {
		t.Errorf("said%s", said)
	}
}
