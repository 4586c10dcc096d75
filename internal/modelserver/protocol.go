package modelserver

import "encoding/json"

// Path is where turns are asked for.
const Path = "/v1/turn"

// MaxBytes bounds requests and answers.
const MaxBytes = 32 << 20

// Request is a conversation that waits for its next turn.
type Request struct {
	Conversation string    `json:"conversation"`
	Model        string    `json:"model,omitempty"`
	System       string    `json:"system,omitempty"`
	Messages     []Message `json:"messages"`
	Tools        []Tool    `json:"tools,omitempty"`
}

// Message is spoken by the user or by the assistant.
type Message struct {
	Role    string       `json:"role"`
	Text    string       `json:"text,omitempty"` // all its texts, one a line
	Calls   []ToolCall   `json:"calls,omitempty"`
	Results []ToolResult `json:"results,omitempty"`
}

// Tool is something that the model may call.
type Tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	InputSchema json.RawMessage `json:"input_schema,omitempty"`
}

// ToolCall is a wish of the model.
type ToolCall struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"`

	custom bool
}

// ToolResult answers a ToolCall.
type ToolResult struct {
	CallID  string `json:"call_id"`
	Content string `json:"content"`
	Error   bool   `json:"error,omitempty"`
}

// Turn is the answer.
type Turn struct {
	Text     string     `json:"text,omitempty"`
	Thinking string     `json:"thinking,omitempty"`
	Calls    []ToolCall `json:"calls,omitempty"`
	Usage    Usage      `json:"usage"`

	fault *Fault
}

// Usage counts tokens.
type Usage struct {
	InputTokens  uint64 `json:"input_tokens"`
	OutputTokens uint64 `json:"output_tokens"`

	CacheReadTokens  uint64 `json:"cache_read_tokens,omitempty"`
	CacheWriteTokens uint64 `json:"cache_write_tokens,omitempty"`
}

// Problem says why there is no turn.
type Problem struct {
	Error string `json:"error"`
}
