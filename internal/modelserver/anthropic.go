package modelserver

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
)

// The Messages API, as platform.claude.com documents it.

func (s *Server) anthropic() {
	s.mux.HandleFunc("POST /v1/messages", s.messages)
	s.mux.HandleFunc("POST /v1/messages/count_tokens", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]int{"input_tokens": 100})
	})
}

type messagesRequest struct {
	Model     string          `json:"model"`
	MaxTokens int             `json:"max_tokens"`
	Stream    bool            `json:"stream"`
	System    json.RawMessage `json:"system"`
	Messages  []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Tools []struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		InputSchema json.RawMessage `json:"input_schema"`
	} `json:"tools"`
}

type contentBlock struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	Signature string          `json:"signature"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
}

func anthropicError(status int, message string) any {
	kind := map[int]string{
		400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
		429: "rate_limit_error", 529: "overloaded_error",
	}[status]
	if kind == "" {
		kind = "api_error"
	}
	return map[string]any{"type": "error", "error": map[string]string{"type": kind, "message": message}}
}

func (s *Server) messages(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, format string, args ...any) {
		refuse(w, status, anthropicError(status, fmt.Sprintf(format, args...)))
	}
	if !s.allowed(r) {
		fail(http.StatusUnauthorized, "invalid x-api-key")
		return
	}
	if r.Header.Get("Anthropic-Version") == "" {
		fail(http.StatusBadRequest, "anthropic-version: header is required")
		return
	}
	var in messagesRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail(http.StatusBadRequest, "%v", err)
		return
	}
	if in.MaxTokens <= 0 {
		fail(http.StatusBadRequest, "max_tokens: Field required")
		return
	}
	if _, ok := s.model(in.Model); !ok {
		fail(http.StatusNotFound, "model: %s", in.Model)
		return
	}
	req, err := in.conversation()
	if err != nil {
		fail(http.StatusBadRequest, "%v", err)
		return
	}
	turn, err := s.Turn(req)
	if err != nil {
		fail(http.StatusBadRequest, "%v", err)
		return
	}
	fault := s.fault(turn.fault)
	if fault.refuses(w, r, anthropicError) {
		return
	}
	turn.Text = fault.spoil(turn.Text)
	if !in.Stream {
		answer(w, messageOf(in.Model, turn))
		return
	}
	fault.stream(w, r, "text/event-stream; charset=utf-8", messageEvents(in.Model, turn, fault))
}

// conversation reads the messages. Like the API, it demands that every tool use is answered, and by nothing else, and that signed
// thinking comes back.
func (in messagesRequest) conversation() (Request, error) {
	req := Request{Model: in.Model, System: textOf(in.System)}
	open := map[string]bool{}
	for i, m := range in.Messages {
		var blocks []contentBlock
		if text := ""; json.Unmarshal(m.Content, &text) == nil {
			blocks = []contentBlock{{Type: "text", Text: text}}
		} else if err := json.Unmarshal(m.Content, &blocks); err != nil {
			return req, fmt.Errorf("messages.%d.content: %v", i, err)
		}
		msg := Message{Role: m.Role}
		signed := false
		for j, b := range blocks {
			switch b.Type {
			case "text":
				if b.Text == "" {
					return req, fmt.Errorf("messages.%d: text content blocks must be non-empty", i)
				}
				msg.Text = join(msg.Text, b.Text)
			case "thinking":
				if b.Signature != signature(b.Thinking) {
					return req, fmt.Errorf("messages.%d.content.%d: Invalid `signature` in `thinking` block", i, j)
				}
				signed = true
			case "tool_use":
				var object map[string]any
				if json.Unmarshal(b.Input, &object) != nil {
					return req, fmt.Errorf("messages.%d.content.%d.tool_use.input: Input should be a valid dictionary", i, j)
				}
				if isSigned(b.ID) && !signed {
					return req, fmt.Errorf("messages.%d: a tool use of a turn that thought must be preceded by its thinking block", i)
				}
				open[b.ID] = true
				msg.Calls = append(msg.Calls, ToolCall{ID: b.ID, Name: b.Name, Arguments: b.Input})
			case "tool_result":
				if !open[b.ToolUseID] {
					return req, fmt.Errorf("messages.%d: unexpected `tool_use_id` found in `tool_result` blocks: %s", i, b.ToolUseID)
				}
				delete(open, b.ToolUseID)
				msg.Results = append(msg.Results, ToolResult{CallID: b.ToolUseID, Content: textOf(b.Content), Error: b.IsError})
			}
		}
		if m.Role == "user" && len(open) > 0 {
			return req, fmt.Errorf("messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after", i)
		}
		if len(msg.Results) > 0 {
			msg.Text = ""
		}
		if m.Role == "system" { // Claude Code says something about its surroundings in the middle of a conversation
			req.System = join(req.System, msg.Text)
			continue
		}
		req.Messages = append(req.Messages, msg)
	}
	for _, t := range in.Tools {
		req.Tools = append(req.Tools, Tool{Name: t.Name, Description: t.Description, InputSchema: t.InputSchema})
	}
	return req, nil
}

// signature is what the server can tell its own thinking by.
func signature(thinking string) string {
	sum := sha256.Sum256([]byte("modelserver " + thinking))
	return hex.EncodeToString(sum[:])
}

const signedSuffix = "_signed"

func isSigned(id string) bool {
	return len(id) > len(signedSuffix) && id[len(id)-len(signedSuffix):] == signedSuffix
}

// signedIDs marks the calls of a turn that thought.
func signedIDs(turn Turn) Turn {
	if turn.Thinking == "" {
		return turn
	}
	calls := append([]ToolCall(nil), turn.Calls...)
	for i := range calls {
		calls[i].ID += signedSuffix
	}
	turn.Calls = calls
	return turn
}

func blocksOf(turn Turn) []map[string]any {
	blocks := []map[string]any{}
	if turn.Thinking != "" {
		blocks = append(blocks, map[string]any{"type": "thinking", "thinking": turn.Thinking, "signature": signature(turn.Thinking)})
	}
	if turn.Text != "" {
		blocks = append(blocks, map[string]any{"type": "text", "text": turn.Text})
	}
	for _, c := range turn.Calls {
		blocks = append(blocks, map[string]any{"type": "tool_use", "id": c.ID, "name": c.Name, "input": c.Arguments})
	}
	return blocks
}

func stopReason(turn Turn) string {
	if len(turn.Calls) > 0 {
		return "tool_use"
	}
	return "end_turn"
}

func messageOf(model string, turn Turn) map[string]any {
	turn = signedIDs(turn)
	return map[string]any{
		// Claude Code takes two messages of one ID for two halves of one message.
		"id": "msg_" + rand.Text(), "type": "message", "role": "assistant", "model": model, "content": blocksOf(turn),
		"stop_reason": stopReason(turn), "stop_sequence": nil,
		"usage": map[string]any{
			"input_tokens": turn.Usage.InputTokens, "output_tokens": turn.Usage.OutputTokens,
			"cache_read_input_tokens": turn.Usage.CacheReadTokens, "cache_creation_input_tokens": turn.Usage.CacheWriteTokens,
		},
	}
}

// messageEvents is a message as the stream tells it.
func messageEvents(model string, turn Turn, fault Fault) [][]byte {
	var out [][]byte
	send := func(kind string, fields map[string]any) {
		fields["type"] = kind
		data, _ := json.Marshal(fields)
		if fault.Comments {
			out = append(out, []byte(": comment\nretry: 10\nid: 1\n\nevent: future\ndata: {\"type\":\"future\",\"x\":[]}\n\n"))
		}
		out = append(out, fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, data))
	}
	if fault.Error {
		send("error", map[string]any{"error": map[string]string{"type": "overloaded_error", "message": "Overloaded"}})
		return out
	}
	turn = signedIDs(turn)
	whole := messageOf(model, Turn{Usage: Usage{InputTokens: turn.Usage.InputTokens, OutputTokens: 1,
		CacheReadTokens: turn.Usage.CacheReadTokens, CacheWriteTokens: turn.Usage.CacheWriteTokens}})
	whole["stop_reason"] = nil
	send("message_start", map[string]any{"message": whole})
	for i, b := range blocksOf(turn) {
		delta := func(kind, field, value string) {
			send("content_block_delta", map[string]any{"index": i, "delta": map[string]any{"type": kind, field: value}})
		}
		start := map[string]any{"type": b["type"]}
		switch b["type"] {
		case "thinking":
			start["thinking"], start["signature"] = "", ""
		case "text":
			start["text"] = ""
		case "tool_use":
			start["id"], start["name"], start["input"] = b["id"], b["name"], map[string]any{}
		}
		send("content_block_start", map[string]any{"index": i, "content_block": start})
		send("ping", map[string]any{})
		switch b["type"] {
		case "thinking":
			for _, p := range pieces(turn.Thinking) {
				delta("thinking_delta", "thinking", p)
			}
			delta("signature_delta", "signature", signature(turn.Thinking))
		case "text":
			for _, p := range pieces(turn.Text) {
				delta("text_delta", "text", p)
			}
		case "tool_use":
			for _, p := range pieces(string(b["input"].(json.RawMessage))) {
				delta("input_json_delta", "partial_json", p)
			}
		}
		send("content_block_stop", map[string]any{"index": i})
	}
	send("message_delta", map[string]any{
		"delta": map[string]any{"stop_reason": stopReason(turn), "stop_sequence": nil},
		"usage": map[string]any{"output_tokens": turn.Usage.OutputTokens},
	})
	send("message_stop", map[string]any{})
	return out
}

// textOf is a string, or the texts of a list of blocks, one a line.
func textOf(raw json.RawMessage) string {
	var text string
	if len(raw) == 0 || json.Unmarshal(raw, &text) == nil {
		return text
	}
	var blocks []contentBlock
	json.Unmarshal(raw, &blocks)
	for _, b := range blocks {
		text = join(text, b.Text)
	}
	return text
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "\n" + b
}
