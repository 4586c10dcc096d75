package main

import (
	"context"
	"encoding/json"

	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

const model = "echo-1"

var schema = base.Schema{Attributes: []base.Attribute{{
	Name:        "prefix",
	Type:        "string",
	Description: "What every answer begins with.",
	Default:     json.RawMessage(`"echo: "`),
}}}

// provider implements llm.LLM in native mode: voidbox's own loop asks it for one turn after the other.
type provider struct{ prefix string }

func (p *provider) configure(_ context.Context, c base.Config) error {
	var block struct {
		Prefix *string `json:"prefix"`
	}
	if err := c.Decode(&block); err != nil {
		return err
	}
	if block.Prefix != nil {
		p.prefix = *block.Prefix
	}
	return nil
}

func (p *provider) Describe(context.Context) (llm.Description, error) {
	return llm.Description{
		Native:       true,
		Models:       []llm.Model{{ID: model, Tools: true}},
		DefaultModel: model,
		Dialect:      "echo",
	}, nil
}

func (p *provider) PlanCLI(context.Context, llm.CLIRequest) (llm.CLIPlan, error) {
	return llm.CLIPlan{}, errdef.New(errdef.ErrUnsupported, "echo has no command-line agent")
}

func (p *provider) ParseCLI(context.Context) (llm.Parser, error) {
	return nil, errdef.New(errdef.ErrUnsupported, "echo has no command-line agent")
}

// Complete repeats the last text of the conversation, or the result of the last tool.
func (p *provider) Complete(_ context.Context, req llm.Request, progress func(llm.Progress) error) (llm.Turn, error) {
	text := p.prefix + lastText(req.Messages)
	if progress != nil {
		if err := progress(llm.Progress{Delta: &llm.Text{Text: text, Partial: true}}); err != nil {
			return llm.Turn{}, err
		}
	}
	return llm.Turn{
		Message:    llm.Message{Role: llm.Assistant, Parts: []llm.Part{{Text: text}}},
		Usage:      llm.Usage{InputTokens: 1, OutputTokens: 1, CostKnown: true}, // an echo costs nothing
		StopReason: llm.EndTurn,
		Model:      model,
	}, nil
}

func lastText(messages []llm.Message) string {
	for m := len(messages) - 1; m >= 0; m-- {
		parts := messages[m].Parts
		for n := len(parts) - 1; n >= 0; n-- {
			if parts[n].ToolResult != nil {
				return parts[n].ToolResult.Content
			}
			if parts[n].Text != "" {
				return parts[n].Text
			}
		}
	}
	return ""
}
