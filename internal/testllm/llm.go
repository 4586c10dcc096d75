// Package testllm is a model provider for tests of the core whose turns are written in Go.
package testllm

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// LLM answers with what its fields say. Without Description it has the native mode and one model, "test", at no price.
type LLM struct {
	Description *llm.Description
	// Turn is the next turn of a conversation.
	Turn func(ctx context.Context, req llm.Request, progress func(llm.Progress) error) (llm.Turn, error)
	Plan llm.CLIPlan
	// Line parses a line of the command-line agent.
	Line func(line []byte) ([]llm.Event, error)

	mu       sync.Mutex
	requests []llm.Request
	cli      llm.CLIRequest
}

// Script returns a provider that says the turns one after the other, whatever it is asked.
func Script(turns ...llm.Turn) *LLM {
	l := &LLM{}
	l.Turn = func(_ context.Context, req llm.Request, _ func(llm.Progress) error) (llm.Turn, error) {
		n := 0
		for _, m := range req.Messages {
			if m.Role == llm.Assistant {
				n++
			}
		}
		if n >= len(turns) {
			return llm.Turn{}, fmt.Errorf("the script has no turn %d", n+1)
		}
		return turns[n], nil
	}
	return l
}

// Say is a turn that ends a conversation.
func Say(text string) llm.Turn {
	return llm.Turn{Message: llm.Message{Role: llm.Assistant, Parts: []llm.Part{{Text: text}}}, StopReason: llm.EndTurn}
}

// Call is a turn that calls tools: pairs of name and arguments. The ids are c1, c2 and so on.
func Call(pairs ...string) llm.Turn {
	turn := llm.Turn{Message: llm.Message{Role: llm.Assistant}, StopReason: llm.ToolUse}
	for i := 0; i < len(pairs); i += 2 {
		call := &llm.ToolCall{ID: fmt.Sprintf("c%d", i/2+1), Name: pairs[i], Arguments: json.RawMessage(pairs[i+1])}
		turn.Message.Parts = append(turn.Message.Parts, llm.Part{ToolCall: call})
	}
	return turn
}

// Used returns the turn with a usage.
func Used(t llm.Turn, u llm.Usage) llm.Turn {
	t.Usage = u
	return t
}

// Requests are those that were made so far.
func (l *LLM) Requests() []llm.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]llm.Request(nil), l.requests...)
}

// CLIRequest is the last one that was made.
func (l *LLM) CLIRequest() llm.CLIRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cli
}

// Describe describes the provider.
func (l *LLM) Describe(context.Context) (llm.Description, error) {
	if l.Description != nil {
		return *l.Description, nil
	}
	return llm.Description{Native: true, DefaultModel: "test", Models: []llm.Model{{ID: "test", Tools: true, Price: &llm.Price{}}}}, nil
}

// PlanCLI returns Plan.
func (l *LLM) PlanCLI(_ context.Context, req llm.CLIRequest) (llm.CLIPlan, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cli = req
	if l.Line == nil {
		return llm.CLIPlan{}, errdef.ErrUnsupported
	}
	return l.Plan, nil
}

// ParseCLI parses with Line.
func (l *LLM) ParseCLI(context.Context) (llm.Parser, error) {
	if l.Line == nil {
		return nil, errdef.ErrUnsupported
	}
	return parser{l.Line}, nil
}

type parser struct {
	line func([]byte) ([]llm.Event, error)
}

func (p parser) Line(line []byte) ([]llm.Event, error) { return p.line(line) }
func (p parser) Close() ([]llm.Event, error)           { return nil, nil }

// Complete calls Turn.
func (l *LLM) Complete(ctx context.Context, req llm.Request, progress func(llm.Progress) error) (llm.Turn, error) {
	l.mu.Lock()
	l.requests = append(l.requests, req)
	l.mu.Unlock()
	if ctx.Err() != nil {
		return llm.Turn{}, ctx.Err()
	}
	if progress == nil {
		progress = func(llm.Progress) error { return nil }
	}
	return l.Turn(ctx, req, progress)
}
