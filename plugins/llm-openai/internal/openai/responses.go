package openai

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/voidbox-run/voidbox/internal/modelhttp"
	"github.com/voidbox-run/voidbox/internal/sse"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// What Responses is asked. Nothing is stored at the provider, so that every request brings all items.
type responsesRequest struct {
	Model           string            `json:"model"`
	Instructions    string            `json:"instructions,omitempty"`
	Input           []any             `json:"input"`
	Tools           []responsesTool   `json:"tools,omitempty"`
	Stream          bool              `json:"stream"`
	Store           bool              `json:"store"`
	MaxOutputTokens int               `json:"max_output_tokens,omitempty"`
	Temperature     *float64          `json:"temperature,omitempty"`
	Reasoning       map[string]string `json:"reasoning,omitempty"`
	Include         []string          `json:"include,omitempty"`
}

type responsesTool struct {
	Type string `json:"type"`
	schema
	Strict bool `json:"strict"`
}

// item is one of the input; which fields are there depends on Type.
type item struct {
	Type      string        `json:"type"`
	Role      string        `json:"role,omitempty"`
	Content   []itemContent `json:"content,omitempty"`
	CallID    string        `json:"call_id,omitempty"`
	Name      string        `json:"name,omitempty"`
	Arguments *string       `json:"arguments,omitempty"`
	Output    *string       `json:"output,omitempty"`
}

type itemContent struct {
	Type    string `json:"type"`
	Text    string `json:"text,omitempty"`
	Refusal string `json:"refusal,omitempty"`
}

func (m *Model) encodeResponses(req llm.Request) ([]byte, error) {
	out := responsesRequest{
		Model: req.Model, Instructions: req.System, Stream: true, MaxOutputTokens: m.outputLimit(req), Temperature: req.Temperature,
	}
	if reasons(req.Model) || m.cfg.Effort != "" {
		out.Include = []string{"reasoning.encrypted_content"}
		out.Reasoning = map[string]string{"summary": "auto"}
		if m.cfg.Effort != "" {
			out.Reasoning["effort"] = m.cfg.Effort
		}
	}
	for i, msg := range req.Messages {
		items, err := itemsOf(msg)
		if err != nil {
			return nil, errdef.New(errdef.ErrInvalid, "message %d: %w", i, err)
		}
		out.Input = append(out.Input, items...)
	}
	for _, t := range req.Tools {
		out.Tools = append(out.Tools, responsesTool{Type: "function", schema: schema{Name: t.Name, Description: t.Description, Parameters: t.InputSchema}})
	}
	body, err := json.Marshal(out)
	if err != nil {
		return nil, errdef.New(errdef.ErrInvalid, "encode the conversation: %w", err)
	}
	return body, nil
}

func itemsOf(msg llm.Message) ([]any, error) {
	kind := "input_text"
	if msg.Role == llm.Assistant {
		kind = "output_text"
	}
	var items []any
	for i, part := range msg.Parts {
		switch {
		case part.Opaque != nil:
			if !json.Valid(part.Opaque) {
				return nil, errdef.New(errdef.ErrInvalid, "part %d holds state that is not this provider's", i)
			}
			items = append(items, json.RawMessage(part.Opaque))
		case part.ToolCall != nil:
			arguments := string(part.ToolCall.Arguments)
			items = append(items, item{Type: "function_call", CallID: part.ToolCall.ID, Name: part.ToolCall.Name, Arguments: &arguments})
		case part.ToolResult != nil:
			output := part.ToolResult.Content
			items = append(items, item{Type: "function_call_output", CallID: part.ToolResult.CallID, Output: &output})
		case part.Text != "":
			items = append(items, item{Type: "message", Role: string(msg.Role), Content: []itemContent{{Type: kind, Text: part.Text}}})
		}
	}
	return items, nil
}

// responsesEvent is an event of the stream.
type responsesEvent struct {
	Type     string          `json:"type"`
	Delta    string          `json:"delta"`
	Item     json.RawMessage `json:"item"`
	Response struct {
		Model             string          `json:"model"`
		Usage             *responsesUsage `json:"usage"`
		Error             json.RawMessage `json:"error"`
		IncompleteDetails struct {
			Reason string `json:"reason"`
		} `json:"incomplete_details"`
	} `json:"response"`
	Code    json.RawMessage `json:"code"`
	Message string          `json:"message"`
	Error   json.RawMessage `json:"error"`
}

type responsesUsage struct {
	Input   uint64 `json:"input_tokens"`
	Output  uint64 `json:"output_tokens"`
	Details struct {
		Cached     uint64 `json:"cached_tokens"`
		CacheWrite uint64 `json:"cache_write_tokens"`
	} `json:"input_tokens_details"`
}

// usage takes what was read from and written to the cache out of the input, which counts both.
func (u responsesUsage) usage() llm.Usage {
	cached := min(u.Details.Cached, u.Input)
	written := min(u.Details.CacheWrite, u.Input-cached)
	return llm.Usage{InputTokens: u.Input - cached - written, CacheReadTokens: cached, CacheWriteTokens: written, OutputTokens: u.Output}
}

// responsesTurn puts a turn together, of items that are finished.
type responsesTurn struct {
	model    *Model
	req      llm.Request
	progress func(llm.Progress) error
	turn     llm.Turn
	calls    int
	refused  bool
	done     bool
}

func (m *Model) readResponses(req llm.Request, from io.Reader, progress func(llm.Progress) error) (llm.Turn, error) {
	r := &responsesTurn{model: m, req: req, progress: progress}
	r.turn.Message.Role, r.turn.Model = llm.Assistant, req.Model
	events, size := sse.NewReader(from, llm.MaxTurnBytes), 0
	for !r.done {
		data, err := m.event(events, &size)
		if err == io.EOF || string(data) == "[DONE]" {
			err = &modelhttp.Transient{Err: fmt.Errorf("the answer of %s breaks off: %w", m.name(), io.ErrUnexpectedEOF)}
		}
		if err != nil {
			return llm.Turn{}, err
		}
		var e responsesEvent
		if err := m.decode(data, &e); err != nil {
			return llm.Turn{}, err
		}
		if err := r.take(e, data); err != nil {
			return llm.Turn{}, err
		}
	}
	return r.turn, nil
}

func (r *responsesTurn) take(e responsesEvent, data []byte) error {
	switch e.Type {
	case "response.output_text.delta", "response.refusal.delta":
		return r.say(llm.Text{Text: e.Delta, Partial: true})
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		return r.say(llm.Text{Text: e.Delta, Thinking: true, Partial: true})
	case "response.output_item.done":
		return r.item(e.Item)
	case "response.completed", "response.incomplete":
		r.end(e)
	case "response.failed":
		return modelhttp.EventError(r.model.name(), r.req.Model, e.Response.Error)
	case "error":
		if len(e.Error) == 0 {
			e.Error = data // the event is the error itself
		}
		return modelhttp.EventError(r.model.name(), r.req.Model, e.Error)
	}
	return nil
}

func (r *responsesTurn) say(t llm.Text) error {
	if t.Text == "" {
		return nil
	}
	return r.progress(llm.Progress{Delta: &t})
}

// item adds one that is finished.
func (r *responsesTurn) item(raw json.RawMessage) error {
	if len(r.turn.Message.Parts) >= llm.MaxParts {
		return errdef.New(errdef.ErrDataLoss, "%s sends a turn of more than %d items", r.model.name(), llm.MaxParts)
	}
	var it item
	if err := r.model.decode(raw, &it); err != nil {
		return err
	}
	add := func(p llm.Part) { r.turn.Message.Parts = append(r.turn.Message.Parts, p) }
	switch it.Type {
	case "message":
		text := ""
		for _, c := range it.Content {
			text += c.Text + c.Refusal
			r.refused = r.refused || c.Refusal != ""
		}
		if text != "" {
			add(llm.Part{Text: text})
		}
	case "function_call":
		arguments := ""
		if it.Arguments != nil {
			arguments = *it.Arguments
		}
		add(llm.Part{ToolCall: finished(it.CallID, it.Name, arguments, len(r.req.Messages), r.calls)})
		r.calls++
	default: // reasoning, and whatever comes next
		add(llm.Part{Opaque: append([]byte(nil), raw...)})
	}
	return nil
}

func (r *responsesTurn) end(e responsesEvent) {
	r.done = true
	if e.Response.Model != "" {
		r.turn.Model = e.Response.Model
	}
	if e.Response.Usage != nil {
		r.turn.Usage = e.Response.Usage.usage()
	}
	switch {
	case e.Response.IncompleteDetails.Reason == "max_output_tokens":
		r.turn.StopReason = llm.MaxTokens
	case e.Response.IncompleteDetails.Reason == "content_filter" || r.refused:
		r.turn.StopReason = llm.Refusal
	case r.calls > 0:
		r.turn.StopReason = llm.ToolUse
	default:
		r.turn.StopReason = llm.EndTurn
	}
}
