package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// native asks the provider for turns and carries out the tools they call, until a turn calls none.
func (s *session) native(ctx context.Context) error {
	box, err := s.toolbox(ctx)
	if err != nil {
		return err
	}
	req := llm.Request{
		Conversation: s.Conversation,
		Model:        s.model,
		System:       s.system(box),
		Messages:     []llm.Message{{Role: llm.User, Parts: []llm.Part{{Text: s.Agent.Prompt}}}},
		Tools:        definitions(box.tools),
	}
	s.rec.start(s.model, names(box.tools))
	most := s.Agent.MaxTurns
	if most <= 0 {
		most = plan.DefaultMaxTurns
	}
	for range most {
		turn, err := s.turn(ctx, req)
		if err != nil {
			return err
		}
		calls := callsOf(turn.Message)
		if len(calls) == 0 {
			return final(turn)
		}
		if s.rec.turns == most {
			break // nobody would read what the tools say
		}
		if err := s.meter.check(s.rec.spent()); err != nil {
			return err
		}
		planned := box.plan(calls, turn.StopReason == llm.MaxTokens)
		results, err := box.execute(ctx, planned, s.rec)
		if err != nil {
			return err
		}
		req.Messages = append(req.Messages, mended(turn.Message, planned), spoken(results))
	}
	return &LimitError{Limit: LimitTurns, Max: fmt.Sprintf("%d turns", most)}
}

// turn asks for one turn and records it.
func (s *session) turn(ctx context.Context, req llm.Request) (llm.Turn, error) {
	req.MaxOutputTokens = s.meter.maxOutput(s.rec.spent())
	turn, err := s.LLM.Complete(ctx, req, func(p llm.Progress) error {
		if p.Delta != nil {
			s.rec.say(llm.Text{Text: p.Delta.Text, Thinking: p.Delta.Thinking, Partial: true})
		}
		if p.Retry != nil {
			s.rec.retry(*p.Retry)
		}
		return nil
	})
	if err != nil {
		return llm.Turn{}, &ModelError{Err: err}
	}
	s.rec.turns++
	if turn.Model != "" {
		s.rec.model = clean(turn.Model)
	}
	for _, part := range turn.Message.Parts {
		s.rec.say(llm.Text{Text: part.Text})
	}
	s.rec.usage(s.meter.cost(turn.Usage))
	return turn, nil
}

// final judges a turn without tool calls.
func final(turn llm.Turn) error {
	switch turn.StopReason {
	case llm.Refusal:
		return ErrRefused
	case llm.MaxTokens:
		return ErrCut
	}
	return nil
}

func callsOf(m llm.Message) []llm.ToolCall {
	var calls []llm.ToolCall
	for _, part := range m.Parts {
		if part.ToolCall != nil {
			calls = append(calls, *part.ToolCall)
		}
	}
	return calls
}

// spoken is the message that brings results of tools to the model.
func spoken(results []llm.ToolResult) llm.Message {
	m := llm.Message{Role: llm.User}
	for _, r := range results {
		m.Parts = append(m.Parts, llm.Part{ToolResult: &r})
	}
	return m
}

// toolbox picks the tools and finds a shell for them.
func (s *session) toolbox(ctx context.Context) (*toolbox, error) {
	tools, err := pick(s.Agent.Tools)
	if err != nil {
		return nil, err
	}
	for _, m := range s.description.Models {
		if m.ID == s.model && !m.Tools && len(tools) > 0 {
			s.rec.warn(fmt.Sprintf("model %s cannot call tools; it will only talk", m.ID), "choose a model with tools, or set tools = [] in the agent")
			tools = nil
		}
	}
	box := &toolbox{
		tools: tools, sandbox: s.Sandbox, user: s.user(), dir: s.dir, env: s.Agent.Sandbox.Env, limits: s.limits(),
		shell: "/bin/sh", outputBytes: s.Agent.OutputBytes, deadline: defaultToolTime,
	}
	if box.outputBytes <= 0 {
		box.outputBytes = plan.DefaultOutputBytes
	}
	_, err = s.Sandbox.Stat(ctx, "/bin/bash", true)
	switch {
	case err == nil:
		box.shell = "/bin/bash"
	case !errors.Is(err, errdef.ErrNotFound):
		return nil, &SandboxError{Err: fmt.Errorf("look for a shell: %w", err)}
	}
	return box, nil
}

func names(tools []tool) []string {
	var out []string
	for _, t := range tools {
		out = append(out, t.name)
	}
	return out
}
