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
	defer box.close()
	req := llm.Request{
		Conversation: s.Conversation,
		Model:        s.model,
		System:       s.system(box),
		Messages:     []llm.Message{{Role: llm.User, Parts: []llm.Part{{Text: s.Agent.Prompt}}}},
	}
	s.rec.start(s.model, names(box.tools))
	most := s.Agent.MaxTurns
	if most <= 0 {
		most = plan.DefaultMaxTurns
	}
	for range most {
		box.refresh(ctx, s.rec)
		req.Tools = definitions(box.tools)
		turn, err := s.fitting(ctx, &req)
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
		req.Messages = s.window.fit(append(req.Messages, mended(turn.Message, planned), spoken(results)), results, s.rec)
	}
	return &LimitError{Limit: LimitTurns, Max: fmt.Sprintf("%d turns", most)}
}

// fitting asks for a turn, and shortens the conversation as long as it is refused for its length.
func (s *session) fitting(ctx context.Context, req *llm.Request) (llm.Turn, error) {
	for {
		turn, err := s.turn(ctx, *req)
		if err == nil {
			s.window.count(turn.Usage)
		}
		if err == nil || !isTooLong(err) {
			return turn, err
		}
		shorter := s.window.refused(req.Messages, s.rec)
		if shorter == nil {
			return turn, err
		}
		req.Messages = shorter
	}
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

// toolbox opens the sources of tools, picks the tools, and finds a shell for them. The caller closes it.
func (s *session) toolbox(ctx context.Context) (_ *toolbox, err error) {
	box := &toolbox{
		own: allTools, wanted: s.Agent.Tools, sandbox: s.Sandbox, user: s.user(), dir: s.dir, env: s.Agent.Sandbox.Env, limits: s.limits(),
		shell: "/bin/sh", outputBytes: s.Agent.OutputBytes, deadline: s.Agent.ToolTimeout,
	}
	if box.deadline <= 0 {
		box.deadline = plan.DefaultToolTimeout
	}
	if box.outputBytes <= 0 {
		box.outputBytes = plan.DefaultOutputBytes
	}
	defer func() {
		if err != nil {
			box.close()
		}
	}()
	if own, ok := skillTool(s.Skills); ok {
		box.own = append(box.own[:len(box.own):len(box.own)], own)
	}
	if s.mute() {
		box.own, box.wanted = nil, nil
		s.rec.warn(fmt.Sprintf("model %s cannot call tools; it will only talk", s.model), "choose a model with tools, or set tools = [] in the agent")
	} else if box.sources, err = s.openSources(ctx); err != nil {
		return nil, err
	}
	box.refresh(ctx, s.rec)
	if err := unknown(box.all, box.wanted); err != nil {
		return nil, err
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

// mute tells that the model cannot call the tools that it is to have.
func (s *session) mute() bool {
	for _, m := range s.description.Models {
		if m.ID == s.model && !m.Tools {
			return s.Agent.Tools == nil || len(s.Agent.Tools) > 0
		}
	}
	return false
}

func names(tools []tool) []string {
	var out []string
	for _, t := range tools {
		out = append(out, t.name)
	}
	return out
}
