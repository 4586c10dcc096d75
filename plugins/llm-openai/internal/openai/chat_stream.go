package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/voidbox-run/voidbox/internal/modelhttp"
	"github.com/voidbox-run/voidbox/internal/sse"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// chatChunk is an event of the stream.
type chatChunk struct {
	Model   string `json:"model"`
	Choices []struct {
		Delta struct {
			Content          string          `json:"content"`
			Refusal          string          `json:"refusal"`
			Reasoning        string          `json:"reasoning"`         // OpenRouter, vLLM
			ReasoningContent string          `json:"reasoning_content"` // DeepSeek, LM Studio, older vLLM
			ReasoningDetails json.RawMessage `json:"reasoning_details"` // OpenRouter; a list of pieces
			ToolCalls        []callDelta     `json:"tool_calls"`
		} `json:"delta"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage *chatUsage      `json:"usage"`
	Error json.RawMessage `json:"error"`
}

type callDelta struct {
	Index    *int   `json:"index"`
	ID       string `json:"id"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

// chatUsage counts what was read from the cache within the prompt.
type chatUsage struct {
	Prompt     uint64 `json:"prompt_tokens"`
	Completion uint64 `json:"completion_tokens"`
	Details    struct {
		Cached uint64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	Cost *float64 `json:"cost"` // OpenRouter, in US dollars
}

func (u chatUsage) usage() llm.Usage {
	cached := min(u.Details.Cached, u.Prompt)
	out := llm.Usage{InputTokens: u.Prompt - cached, CacheReadTokens: cached, OutputTokens: u.Completion}
	if u.Cost != nil && *u.Cost >= 0 {
		out.CostUSD, out.CostKnown = *u.Cost, true
	}
	return out
}

// chatTurn puts a turn together.
type chatTurn struct {
	model    *Model
	req      llm.Request
	progress func(llm.Progress) error
	turn     llm.Turn
	text     strings.Builder
	details  []json.RawMessage
	calls    []*chatToolCall
	finish   string
	refused  bool
	size     int
}

type chatToolCall struct {
	index     int
	id, name  string
	arguments strings.Builder
}

func (m *Model) readChat(req llm.Request, from io.Reader, progress func(llm.Progress) error) (llm.Turn, error) {
	c := &chatTurn{model: m, req: req, progress: progress}
	events := sse.NewReader(from, llm.MaxTurnBytes)
	for {
		data, err := m.event(events, &c.size)
		if err == io.EOF && c.finish != "" {
			return c.end() // some servers leave out the end mark
		}
		if err == io.EOF {
			err = &modelhttp.Transient{Err: fmt.Errorf("the answer of %s breaks off: %w", m.name(), io.ErrUnexpectedEOF)}
		}
		if err != nil {
			return llm.Turn{}, err
		}
		if string(data) == "[DONE]" {
			return c.end()
		}
		var chunk chatChunk
		if err := m.decode(data, &chunk); err != nil {
			return llm.Turn{}, err
		}
		if err := c.take(chunk); err != nil {
			return llm.Turn{}, err
		}
	}
}

// event returns the data of the next event; io.EOF at a clean end.
func (m *Model) event(events *sse.Reader, size *int) ([]byte, error) {
	e, err := events.Next()
	switch {
	case errors.Is(err, sse.ErrTooLong):
		return nil, errdef.New(errdef.ErrDataLoss, "%s: %w", m.name(), err)
	case err == io.EOF:
		return nil, err
	case err != nil:
		return nil, &modelhttp.Transient{Err: fmt.Errorf("the answer of %s breaks off: %w", m.name(), err)}
	}
	if *size += len(e.Data); *size > 4*llm.MaxTurnBytes {
		return nil, errdef.New(errdef.ErrDataLoss, "%s sends a turn that does not end", m.name())
	}
	return e.Data, nil
}

// decode reads an event. A field of an unexpected type is left out, as servers make up their own.
func (m *Model) decode(data []byte, into any) error {
	var odd *json.UnmarshalTypeError
	if err := json.Unmarshal(data, into); err != nil && !errors.As(err, &odd) {
		return errdef.New(errdef.ErrDataLoss, "%s sends an event that is no JSON: %w", m.name(), err).
			WithRemedy("check that base_url names a server that speaks OpenAI's API, and api which of the two")
	}
	return nil
}

func (c *chatTurn) take(chunk chatChunk) error {
	if len(chunk.Error) > 0 && string(chunk.Error) != "null" {
		return modelhttp.EventError(c.model.name(), c.req.Model, chunk.Error)
	}
	if chunk.Model != "" {
		c.turn.Model = chunk.Model
	}
	if chunk.Usage != nil {
		c.turn.Usage = chunk.Usage.usage()
	}
	for _, choice := range chunk.Choices[:min(len(chunk.Choices), 1)] {
		d := choice.Delta
		if choice.FinishReason != "" {
			c.finish = choice.FinishReason
		}
		var details []json.RawMessage
		if json.Unmarshal(d.ReasoningDetails, &details) == nil && len(c.details)+len(details) <= llm.MaxParts {
			for _, piece := range details {
				c.details = append(c.details, append(json.RawMessage(nil), piece...))
			}
		}
		thought := d.ReasoningContent
		if thought == "" {
			thought = d.Reasoning
		}
		if err := c.say(llm.Text{Text: thought, Thinking: true, Partial: true}); err != nil {
			return err
		}
		c.refused = c.refused || d.Refusal != ""
		c.text.WriteString(d.Content + d.Refusal)
		if err := c.say(llm.Text{Text: d.Content + d.Refusal, Partial: true}); err != nil {
			return err
		}
		for _, call := range d.ToolCalls {
			if err := c.call(call); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *chatTurn) say(t llm.Text) error {
	if t.Text == "" {
		return nil
	}
	return c.progress(llm.Progress{Delta: &t})
}

// call adds a piece of a call: to the one of its index, or, from servers that leave it out, to the last one unless a new id begins.
func (c *chatTurn) call(d callDelta) error {
	var to *chatToolCall
	for _, known := range c.calls {
		if d.Index != nil && known.index == *d.Index {
			to = known
		}
	}
	if n := len(c.calls); d.Index == nil && n > 0 && (d.ID == "" || d.ID == c.calls[n-1].id) {
		to = c.calls[n-1]
	}
	if to == nil {
		if len(c.calls) >= llm.MaxParts-2 {
			return errdef.New(errdef.ErrDataLoss, "%s calls more than %d tools in one turn", c.model.name(), llm.MaxParts-2)
		}
		to = &chatToolCall{index: len(c.calls)}
		if d.Index != nil {
			to.index = *d.Index
		}
		c.calls = append(c.calls, to)
	}
	if to.id == "" {
		to.id = d.ID
	}
	if to.name == "" {
		to.name = d.Function.Name
	}
	var text string
	if json.Unmarshal(d.Function.Arguments, &text) != nil && len(d.Function.Arguments) > 0 {
		text = string(d.Function.Arguments) // an object, where a string should be
	}
	to.arguments.WriteString(text)
	return nil
}

func (c *chatTurn) end() (llm.Turn, error) {
	parts := []llm.Part{}
	if len(c.details) > 0 {
		list, err := json.Marshal(c.details)
		if err != nil {
			return llm.Turn{}, err
		}
		state, err := json.Marshal(chatState{ReasoningDetails: list})
		if err != nil {
			return llm.Turn{}, err
		}
		parts = append(parts, llm.Part{Opaque: state})
	}
	if c.text.Len() > 0 {
		parts = append(parts, llm.Part{Text: c.text.String()})
	}
	for i, call := range c.calls {
		parts = append(parts, llm.Part{ToolCall: finished(call.id, call.name, call.arguments.String(), len(c.req.Messages), i)})
	}
	c.turn.Message = llm.Message{Role: llm.Assistant, Parts: parts}
	switch {
	case c.finish == "length":
		c.turn.StopReason = llm.MaxTokens
	case c.finish == "content_filter" || c.refused:
		c.turn.StopReason = llm.Refusal
	case len(c.calls) > 0:
		c.turn.StopReason = llm.ToolUse
	default:
		c.turn.StopReason = llm.EndTurn
	}
	if c.turn.Model == "" {
		c.turn.Model = c.req.Model
	}
	return c.turn, nil
}

// finished is a call of a tool, with an id if the server gave none.
func finished(id, name, arguments string, turn, number int) *llm.ToolCall {
	if id == "" {
		id = fmt.Sprintf("call_%d_%d", turn, number)
	}
	if strings.TrimSpace(arguments) == "" {
		arguments = "{}"
	}
	return &llm.ToolCall{ID: id, Name: name, Arguments: json.RawMessage(arguments)}
}
