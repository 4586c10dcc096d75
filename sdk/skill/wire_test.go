package skill_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/skill"
)

type fake struct {
	resolved skill.Resolved
	name     string
	call     llm.ToolCall
}

func (f *fake) Resolve(_ context.Context, name string) (skill.Resolved, error) {
	f.name = name
	return f.resolved, nil
}

func (f *fake) CallTool(_ context.Context, name string, call llm.ToolCall) (llm.ToolResult, error) {
	if call.Name != "look" {
		return llm.ToolResult{}, errdef.New(errdef.ErrNotFound, "no tool %s", call.Name)
	}
	f.name, f.call = name, call
	return llm.ToolResult{CallID: call.ID, Content: "seen", Error: true}, nil
}

func dial(t *testing.T, f *fake) skill.Skill {
	return skill.NewClient(sdk.TestConn(t, sdk.Plugin{Name: "fake", Version: "1.0.0", Skill: f}, "{}"))
}

func resolved() skill.Resolved {
	return skill.Resolved{
		Description: "looks things up",
		Files:       []llm.File{{Path: "SKILL.md", Content: []byte("# look"), Mode: 0o644}, {Path: "bin/look", Mode: 0o755}},
		MCPServers: []llm.MCPServer{
			{Name: "local", Command: []string{"look", "--mcp"}, Env: map[string]string{"A": "b"}},
			{Name: "far", URL: "https://example.com/mcp"},
		},
		Tools: []llm.Tool{{Name: "look", Description: "looks", InputSchema: json.RawMessage(`{"type":"object"}`)}},
	}
}

func TestEveryFieldTravels(t *testing.T) {
	f := &fake{resolved: resolved()}
	s, ctx := dial(t, f), t.Context()
	got, err := s.Resolve(ctx, "hn")
	if err != nil || f.name != "hn" {
		t.Errorf("resolved %q, %v", f.name, err)
	}
	if diff := cmp.Diff(resolved(), got); diff != "" {
		t.Error(diff)
	}
	call := llm.ToolCall{ID: "1", Name: "look", Arguments: json.RawMessage(`{"at":1}`)}
	result, err := s.CallTool(ctx, "other", call)
	if err != nil || result != (llm.ToolResult{CallID: "1", Content: "seen", Error: true}) {
		t.Errorf("result %+v, %v", result, err)
	}
	if diff := cmp.Diff(call, f.call); diff != "" || f.name != "other" {
		t.Errorf("called for %s: %s", f.name, diff)
	}
	if _, err := s.CallTool(ctx, "other", llm.ToolCall{Name: "jump"}); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

func TestBadSkillsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*skill.Resolved){
		"long description": func(r *skill.Resolved) { r.Description = strings.Repeat("x", skill.MaxDescription+1) },
		"absolute file":    func(r *skill.Resolved) { r.Files[0].Path = "/etc/passwd" },
		"file goes up":     func(r *skill.Resolved) { r.Files[0].Path = "../x" },
		"file goes round":  func(r *skill.Resolved) { r.Files[0].Path = "a/../../x" },
		"file is nothing":  func(r *skill.Resolved) { r.Files[0].Path = "" },
		"setuid file":      func(r *skill.Resolved) { r.Files[0].Mode = 0o4755 },
		"server is both":   func(r *skill.Resolved) { r.MCPServers[0].URL = "https://x" },
		"server is none":   func(r *skill.Resolved) { r.MCPServers[1].URL = "" },
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{resolved: resolved()}
			spoil(&f.resolved)
			if _, err := dial(t, f).Resolve(t.Context(), "x"); !errors.Is(err, errdef.ErrInvalid) {
				t.Errorf("error %v", err)
			}
		})
	}
}
