package openai

import (
	"encoding/json"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// What Chat Completions is asked.
type (
	chatRequest struct {
		Model               string          `json:"model"`
		Messages            []chatMessage   `json:"messages"`
		Tools               []chatTool      `json:"tools,omitempty"`
		Stream              bool            `json:"stream"`
		StreamOptions       map[string]bool `json:"stream_options"`
		MaxTokens           int             `json:"max_tokens,omitempty"`
		MaxCompletionTokens int             `json:"max_completion_tokens,omitempty"`
		Temperature         *float64        `json:"temperature,omitempty"`
		ReasoningEffort     string          `json:"reasoning_effort,omitempty"`
		Usage               map[string]bool `json:"usage,omitempty"` // OpenRouter's way to ask for the cost
	}
	chatMessage struct {
		Role             string          `json:"role"`
		Content          *string         `json:"content"`
		ToolCalls        []chatCall      `json:"tool_calls,omitempty"`
		ToolCallID       string          `json:"tool_call_id,omitempty"`
		ReasoningDetails json.RawMessage `json:"reasoning_details,omitempty"`
	}
	chatCall struct {
		ID       string       `json:"id"`
		Type     string       `json:"type"`
		Function chatFunction `json:"function"`
	}
	chatFunction struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	}
	chatTool struct {
		Type     string `json:"type"`
		Function schema `json:"function"`
	}
	schema struct {
		Name        string          `json:"name"`
		Description string          `json:"description,omitempty"`
		Parameters  json.RawMessage `json:"parameters"`
	}
)

const openRouter = "https://openrouter.ai/"

func (m *Model) encodeChat(req llm.Request) ([]byte, error) {
	out := chatRequest{
		Model: req.Model, Stream: true, StreamOptions: map[string]bool{"include_usage": true},
		Temperature: req.Temperature, ReasoningEffort: m.cfg.Effort,
	}
	// OpenAI's reasoning models refuse the old name of the limit, and other servers do not know the new one.
	if m.foreign() {
		out.MaxTokens = m.outputLimit(req)
	} else {
		out.MaxCompletionTokens = m.outputLimit(req)
	}
	if strings.HasPrefix(m.base, openRouter) {
		out.Usage = map[string]bool{"include": true}
	}
	if req.System != "" {
		out.Messages = append(out.Messages, chatMessage{Role: "system", Content: &req.System})
	}
	for i, msg := range req.Messages {
		messages, err := chatMessages(msg)
		if err != nil {
			return nil, errdef.New(errdef.ErrInvalid, "message %d: %w", i, err)
		}
		out.Messages = append(out.Messages, messages...)
	}
	for _, t := range req.Tools {
		out.Tools = append(out.Tools, chatTool{Type: "function", Function: schema{Name: t.Name, Description: t.Description, Parameters: t.InputSchema}})
	}
	body, err := json.Marshal(out)
	if err != nil {
		return nil, errdef.New(errdef.ErrInvalid, "encode the conversation: %w", err)
	}
	return body, nil
}

// chatState is what a turn carries for a provider that wants its reasoning back.
type chatState struct {
	ReasoningDetails json.RawMessage `json:"reasoning_details"`
}

// chatMessages turns a message into those of the API, which has one for each result of a tool.
func chatMessages(msg llm.Message) ([]chatMessage, error) {
	var out []chatMessage
	var texts []string
	own := chatMessage{Role: string(msg.Role)}
	for i, part := range msg.Parts {
		switch {
		case part.ToolResult != nil:
			content := part.ToolResult.Content
			out = append(out, chatMessage{Role: "tool", ToolCallID: part.ToolResult.CallID, Content: &content})
		case part.ToolCall != nil:
			own.ToolCalls = append(own.ToolCalls, chatCall{ID: part.ToolCall.ID, Type: "function", Function: chatFunction{
				Name: part.ToolCall.Name, Arguments: string(part.ToolCall.Arguments),
			}})
		case part.Opaque != nil:
			var state chatState
			if err := json.Unmarshal(part.Opaque, &state); err != nil {
				return nil, errdef.New(errdef.ErrInvalid, "part %d holds state that is not this provider's", i)
			}
			own.ReasoningDetails = state.ReasoningDetails
		case part.Text != "":
			texts = append(texts, part.Text)
		}
	}
	if len(texts) > 0 {
		text := strings.Join(texts, "\n")
		own.Content = &text
	}
	if own.Content != nil || own.ToolCalls != nil {
		out = append(out, own)
	}
	return out, nil
}
