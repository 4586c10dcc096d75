package claude

import (
	"bytes"
	"encoding/json"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// What the Messages API is asked. Content blocks are maps in the making, since opaque ones are passed on as they came.
type (
	request struct {
		Model        string         `json:"model"`
		MaxTokens    int            `json:"max_tokens"`
		Stream       bool           `json:"stream"`
		System       []block        `json:"system,omitempty"`
		Messages     []message      `json:"messages"`
		Tools        []tool         `json:"tools,omitempty"`
		Temperature  *float64       `json:"temperature,omitempty"`
		Thinking     *thinking      `json:"thinking,omitempty"`
		OutputConfig map[string]any `json:"output_config,omitempty"`
	}
	message struct {
		Role    llm.Role          `json:"role"`
		Content []json.RawMessage `json:"content"`
	}
	block struct {
		Type         string          `json:"type"`
		Text         string          `json:"text,omitempty"`
		ID           string          `json:"id,omitempty"`
		Name         string          `json:"name,omitempty"`
		Input        json.RawMessage `json:"input,omitempty"`
		ToolUseID    string          `json:"tool_use_id,omitempty"`
		Content      string          `json:"content,omitempty"`
		IsError      bool            `json:"is_error,omitempty"`
		CacheControl *cacheControl   `json:"cache_control,omitempty"`
	}
	tool struct {
		Name        string          `json:"name"`
		Description string          `json:"description,omitempty"`
		InputSchema json.RawMessage `json:"input_schema"`
	}
	thinking struct {
		Type         string `json:"type"`
		BudgetTokens int    `json:"budget_tokens,omitempty"`
	}
	cacheControl struct {
		Type string `json:"type"`
	}
)

// encode writes the request for the next turn.
func (m *Model) encode(req llm.Request) ([]byte, error) {
	out := request{Model: req.Model, Stream: true, Temperature: req.Temperature, MaxTokens: outputLimit(req.Model)}
	for _, limit := range []int{req.MaxOutputTokens, m.cfg.MaxTokens} {
		if limit > 0 {
			out.MaxTokens = min(out.MaxTokens, limit)
		}
	}
	if m.cfg.MaxTokens > 0 && outputLimit(req.Model) == unknownOutput {
		out.MaxTokens = m.cfg.MaxTokens // the user knows the model better than the table
		if req.MaxOutputTokens > 0 {
			out.MaxTokens = min(out.MaxTokens, req.MaxOutputTokens)
		}
	}
	m.think(&out)
	if req.System != "" {
		out.System = []block{{Type: "text", Text: req.System, CacheControl: m.cached()}}
	}
	for _, t := range req.Tools {
		out.Tools = append(out.Tools, tool{Name: t.Name, Description: t.Description, InputSchema: t.InputSchema})
	}
	for i, msg := range req.Messages {
		var mark *cacheControl
		if i == len(req.Messages)-1 {
			mark = m.cached()
		}
		encoded, err := encodeMessage(msg, mark)
		if err != nil {
			return nil, errdef.New(errdef.ErrInvalid, "message %d: %w", i, err)
		}
		if len(encoded.Content) > 0 {
			out.Messages = append(out.Messages, encoded)
		}
	}
	body, err := json.Marshal(out)
	if err != nil {
		return nil, errdef.New(errdef.ErrInvalid, "encode the conversation: %w", err)
	}
	return body, nil
}

// think asks for reasoning, as far as the limit of the turn leaves room: its budget must be smaller.
func (m *Model) think(out *request) {
	switch {
	case m.cfg.Thinking == "adaptive":
		out.Thinking = &thinking{Type: "adaptive"}
	case m.cfg.Thinking == "enabled" && out.MaxTokens > 1024:
		out.Thinking = &thinking{Type: "enabled", BudgetTokens: min(m.cfg.ThinkingTokens, out.MaxTokens-1)}
	}
	if out.Thinking != nil {
		out.Temperature = nil // the API takes one of the two
	}
	if m.cfg.Effort != "" {
		out.OutputConfig = map[string]any{"effort": m.cfg.Effort}
	}
}

// cached marks the end of what the provider may keep: system and tools once, and the conversation up to here.
func (m *Model) cached() *cacheControl {
	if m.cfg.PromptCache != nil && !*m.cfg.PromptCache {
		return nil
	}
	return &cacheControl{Type: "ephemeral"}
}

// encodeMessage turns parts into content blocks. mark goes to the last of them.
func encodeMessage(msg llm.Message, mark *cacheControl) (message, error) {
	out := message{Role: msg.Role}
	for i, part := range msg.Parts {
		b := block{}
		if i == len(msg.Parts)-1 {
			b.CacheControl = mark
		}
		switch {
		case part.Opaque != nil:
			var object map[string]json.RawMessage
			if err := json.Unmarshal(part.Opaque, &object); err != nil || object == nil {
				return out, errdef.New(errdef.ErrInvalid, "part %d holds state that is not this provider's", i)
			}
			out.Content = append(out.Content, json.RawMessage(part.Opaque))
			continue
		case part.ToolCall != nil:
			b.Type, b.ID, b.Name, b.Input = "tool_use", part.ToolCall.ID, part.ToolCall.Name, object(part.ToolCall.Arguments)
		case part.ToolResult != nil:
			b.Type, b.ToolUseID, b.Content, b.IsError = "tool_result", part.ToolResult.CallID, part.ToolResult.Content, part.ToolResult.Error
		case part.Text == "":
			continue // the API refuses empty texts
		default:
			b.Type, b.Text = "text", part.Text
		}
		encoded, err := json.Marshal(b)
		if err != nil {
			return out, err
		}
		out.Content = append(out.Content, encoded)
	}
	return out, nil
}

// object returns arguments as the object that the API demands. What the model wrote and nobody could read is shown to it as text.
func object(arguments json.RawMessage) json.RawMessage {
	if trimmed := bytes.TrimSpace(arguments); len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(trimmed) {
		return trimmed
	}
	wrapped, _ := json.Marshal(map[string]string{"unreadable_arguments": string(arguments)})
	return wrapped
}
