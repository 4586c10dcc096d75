package ollama

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/voidbox-run/voidbox/internal/modelhttp"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// What /api/chat is asked and answers.
type (
	chatRequest struct {
		Model     string         `json:"model"`
		Messages  []message      `json:"messages"`
		Tools     []tool         `json:"tools,omitempty"`
		Stream    bool           `json:"stream"`
		Options   map[string]any `json:"options"`
		Think     any            `json:"think,omitempty"`
		KeepAlive string         `json:"keep_alive,omitempty"`
		Truncate  bool           `json:"truncate"`
		Shift     bool           `json:"shift"`
	}
	message struct {
		Role       string `json:"role"`
		Content    string `json:"content"`
		Thinking   string `json:"thinking,omitempty"`
		ToolCalls  []call `json:"tool_calls,omitempty"`
		ToolName   string `json:"tool_name,omitempty"`
		ToolCallID string `json:"tool_call_id,omitempty"`
	}
	call struct {
		ID       string `json:"id,omitempty"`
		Function struct {
			Index     int             `json:"index,omitempty"`
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"function"`
	}
	tool struct {
		Type     string `json:"type"`
		Function struct {
			Name        string          `json:"name"`
			Description string          `json:"description,omitempty"`
			Parameters  json.RawMessage `json:"parameters"`
		} `json:"function"`
	}
	chunk struct {
		Model       string  `json:"model"`
		Message     message `json:"message"`
		Done        bool    `json:"done"`
		DoneReason  string  `json:"done_reason"`
		PromptCount uint64  `json:"prompt_eval_count"`
		Count       uint64  `json:"eval_count"`
		Error       string  `json:"error"`
	}
)

// state is what a turn carries: models such as gpt-oss want their thinking back.
type state struct {
	Thinking string `json:"thinking"`
}

func (m *Model) encode(req llm.Request, shown model) ([]byte, error) {
	out := chatRequest{Model: req.Model, Stream: true, KeepAlive: m.cfg.KeepAlive, Options: map[string]any{"num_ctx": m.context(shown)}}
	limit := m.cfg.MaxTokens
	if req.MaxOutputTokens > 0 && (limit == 0 || req.MaxOutputTokens < limit) {
		limit = req.MaxOutputTokens
	}
	if limit > 0 {
		out.Options["num_predict"] = limit
	}
	if req.Temperature != nil {
		out.Options["temperature"] = *req.Temperature
	}
	switch m.cfg.Think {
	case "":
	case "on", "off":
		out.Think = m.cfg.Think == "on"
	default:
		out.Think = m.cfg.Think
	}
	if req.System != "" {
		out.Messages = append(out.Messages, message{Role: "system", Content: req.System})
	}
	names := map[string]string{}
	for i, msg := range req.Messages {
		messages, err := encodeMessage(msg, names)
		if err != nil {
			return nil, errdef.New(errdef.ErrInvalid, "message %d: %w", i, err)
		}
		out.Messages = append(out.Messages, messages...)
	}
	for _, t := range req.Tools {
		offered := tool{Type: "function"}
		offered.Function.Name, offered.Function.Description, offered.Function.Parameters = t.Name, t.Description, t.InputSchema
		out.Tools = append(out.Tools, offered)
	}
	body, err := json.Marshal(out)
	if err != nil {
		return nil, errdef.New(errdef.ErrInvalid, "encode the conversation: %w", err)
	}
	return body, nil
}

// encodeMessage turns a message into those of the API, which has one for each result of a tool. names are those of the calls so
// far, by id: older servers tie a result to its call by the name.
func encodeMessage(msg llm.Message, names map[string]string) ([]message, error) {
	var out []message
	var texts []string
	own := message{Role: string(msg.Role)}
	for i, part := range msg.Parts {
		switch {
		case part.ToolResult != nil:
			r := part.ToolResult
			out = append(out, message{Role: "tool", Content: r.Content, ToolName: names[r.CallID], ToolCallID: r.CallID})
		case part.ToolCall != nil:
			names[part.ToolCall.ID] = part.ToolCall.Name
			c := call{ID: part.ToolCall.ID}
			c.Function.Index, c.Function.Name, c.Function.Arguments = len(own.ToolCalls), part.ToolCall.Name, object(part.ToolCall.Arguments)
			own.ToolCalls = append(own.ToolCalls, c)
		case part.Opaque != nil:
			var s state
			if err := json.Unmarshal(part.Opaque, &s); err != nil {
				return nil, errdef.New(errdef.ErrInvalid, "part %d holds state that is not this provider's", i)
			}
			own.Thinking = s.Thinking
		case part.Text != "":
			texts = append(texts, part.Text)
		}
	}
	if own.Content = strings.Join(texts, "\n"); own.Content != "" || own.ToolCalls != nil {
		out = append(out, own)
	}
	return out, nil
}

// object returns arguments as the object that the API demands. What nobody could read is shown to the model as text.
func object(arguments json.RawMessage) json.RawMessage {
	if trimmed := bytes.TrimSpace(arguments); len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(trimmed) {
		return trimmed
	}
	wrapped, _ := json.Marshal(map[string]string{"unreadable_arguments": string(arguments)})
	return wrapped
}

// read puts a turn together.
func read(req llm.Request, from io.Reader, progress func(llm.Progress) error) (llm.Turn, error) {
	var text, thinking strings.Builder
	var calls []call
	lines := newLines(from)
	for {
		line, err := lines.next()
		if err != nil {
			return llm.Turn{}, broken(err)
		}
		var c chunk
		var odd *json.UnmarshalTypeError
		if err := json.Unmarshal(line, &c); err != nil && !errors.As(err, &odd) {
			return llm.Turn{}, errdef.New(errdef.ErrDataLoss, "Ollama sends a line that is no JSON: %w", err).
				WithRemedy("check that base_url in the llm block names an Ollama server")
		}
		if c.Error != "" {
			return llm.Turn{}, &modelhttp.StatusError{Provider: "Ollama", Status: 500, Message: c.Error, Model: req.Model}
		}
		text.WriteString(c.Message.Content)
		thinking.WriteString(c.Message.Thinking)
		if calls = append(calls, c.Message.ToolCalls...); len(calls) > llm.MaxParts-2 {
			return llm.Turn{}, errdef.New(errdef.ErrDataLoss, "Ollama calls more than %d tools in one turn", llm.MaxParts-2)
		}
		for _, said := range []llm.Text{{Text: c.Message.Thinking, Thinking: true, Partial: true}, {Text: c.Message.Content, Partial: true}} {
			if said.Text == "" {
				continue
			}
			if err := progress(llm.Progress{Delta: &said}); err != nil {
				return llm.Turn{}, err
			}
		}
		if c.Done {
			return finish(req, c, text.String(), thinking.String(), calls)
		}
	}
}

func finish(req llm.Request, last chunk, text, thinking string, calls []call) (llm.Turn, error) {
	turn := llm.Turn{
		Message: llm.Message{Role: llm.Assistant}, StopReason: llm.EndTurn, Model: last.Model,
		Usage: llm.Usage{InputTokens: last.PromptCount, OutputTokens: last.Count},
	}
	add := func(p llm.Part) { turn.Message.Parts = append(turn.Message.Parts, p) }
	if thinking != "" {
		kept, err := json.Marshal(state{Thinking: thinking})
		if err != nil {
			return llm.Turn{}, err
		}
		add(llm.Part{Opaque: kept})
	}
	if text != "" {
		add(llm.Part{Text: text})
	}
	for i, c := range calls {
		if c.ID == "" {
			c.ID = fmt.Sprintf("call_%d_%d", len(req.Messages), i) // older servers give none
		}
		if len(c.Function.Arguments) == 0 {
			c.Function.Arguments = json.RawMessage("{}")
		}
		add(llm.Part{ToolCall: &llm.ToolCall{ID: c.ID, Name: c.Function.Name, Arguments: c.Function.Arguments}})
	}
	switch {
	case last.DoneReason == "length":
		turn.StopReason = llm.MaxTokens
	case len(calls) > 0:
		turn.StopReason = llm.ToolUse
	}
	if turn.Model == "" {
		turn.Model = req.Model
	}
	return turn, nil
}
