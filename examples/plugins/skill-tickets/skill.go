package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/skill"
)

// manual is what the agent can read about the skill, in its sandbox.
//
//go:embed SKILL.md
var manual []byte

var tools = []llm.Tool{
	{
		Name:        "show",
		Description: "Shows a ticket and the comments on it.",
		InputSchema: json.RawMessage(`{"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}`),
	},
	{
		Name:        "comment",
		Description: "Adds a comment to a ticket.",
		InputSchema: json.RawMessage(`{"type": "object", "properties": {"id": {"type": "integer"}, "text": {"type": "string"}}, "required": ["id", "text"]}`),
	},
}

// Resolve implements skill.Skill.
func (t *tracker) Resolve(context.Context, string) (skill.Resolved, error) {
	return skill.Resolved{
		Description: "Tickets: what is to be done, and a place to say what was.",
		Files:       []llm.File{{Path: "SKILL.md", Content: manual, Mode: 0o644}},
		Tools:       tools,
	}, nil
}

// CallTool implements skill.Skill. What is wrong with a call is told to the model, which may know better the next time.
func (t *tracker) CallTool(_ context.Context, _ string, call llm.ToolCall) (llm.ToolResult, error) {
	var args struct {
		ID   int    `json:"id"`
		Text string `json:"text"`
	}
	var content string
	err := json.Unmarshal(call.Arguments, &args)
	switch {
	case err != nil:
		err = fmt.Errorf("arguments: %w", err)
	case call.Name == "show":
		content, err = t.show(args.ID)
	case call.Name == "comment":
		content, err = t.comment(args.ID, args.Text)
	default:
		return llm.ToolResult{}, errdef.New(errdef.ErrNotFound, "there is no tool %q", call.Name)
	}
	if err != nil {
		return llm.ToolResult{CallID: call.ID, Content: err.Error(), Error: true}, nil
	}
	return llm.ToolResult{CallID: call.ID, Content: content}, nil
}
