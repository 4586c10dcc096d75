package modelserver

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Chat Completions, as OpenAI documents it and vLLM, LM Studio, OpenRouter and others copy it. Responses is in responses.go.

func (s *Server) openai() {
	s.mux.HandleFunc("POST /v1/chat/completions", s.chatCompletions)
	s.mux.HandleFunc("POST /v1/responses", s.responses)
	s.mux.HandleFunc("GET /v1/models", s.listModels)
}

func openaiError(status int, message string) any {
	kind, code := "invalid_request_error", any(nil)
	switch {
	case status == 401:
		code = "invalid_api_key"
	case status == 404:
		code = "model_not_found"
	case status == 429:
		kind, code = "requests", "rate_limit_exceeded"
	case status >= 500:
		kind = "server_error"
	}
	return map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": code}}
}

// begin checks what both protocols share, and reads the request.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, in any, model *string) bool {
	if !s.allowed(r) {
		refuse(w, http.StatusUnauthorized, openaiError(401, "Incorrect API key provided"))
		return false
	}
	if err := json.NewDecoder(r.Body).Decode(in); err != nil {
		refuse(w, http.StatusBadRequest, openaiError(400, err.Error()))
		return false
	}
	if _, ok := s.model(*model); !ok {
		refuse(w, http.StatusNotFound, openaiError(404, fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", *model)))
		return false
	}
	return true
}

func (s *Server) listModels(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := []map[string]any{}
	for _, m := range s.models {
		data = append(data, map[string]any{"id": m.Name, "object": "model", "created": 1, "owned_by": "modelserver"})
	}
	answer(w, map[string]any{"object": "list", "data": data})
}

type chatCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

type chatRequest struct {
	Model         string `json:"model"`
	Stream        bool   `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Messages []struct {
		Role       string          `json:"role"`
		Content    json.RawMessage `json:"content"`
		ToolCalls  []chatCall      `json:"tool_calls"`
		ToolCallID string          `json:"tool_call_id"`
	} `json:"messages"`
	Tools []struct {
		Function struct {
			Name        string          `json:"name"`
			Description string          `json:"description"`
			Parameters  json.RawMessage `json:"parameters"`
		} `json:"function"`
	} `json:"tools"`
}

func (s *Server) chatCompletions(w http.ResponseWriter, r *http.Request) {
	var in chatRequest
	if !s.begin(w, r, &in, &in.Model) {
		return
	}
	req, err := in.conversation()
	var turn Turn
	if err == nil {
		turn, err = s.Turn(req)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, openaiError(400, err.Error()))
		return
	}
	fault := s.fault(turn.fault)
	if fault.refuses(w, r, openaiError) {
		return
	}
	turn.Text = fault.spoil(turn.Text)
	if !in.Stream {
		answer(w, map[string]any{
			"id": "chatcmpl-scripted", "object": "chat.completion", "created": 1, "model": in.Model,
			"choices": []any{map[string]any{"index": 0, "message": chatMessage(turn), "finish_reason": finishReason(turn)}},
			"usage":   chatUsage(turn),
		})
		return
	}
	fault.stream(w, r, "text/event-stream", chatChunks(in, turn, fault))
}

// conversation reads the messages. Like the API, it demands that every call is answered right after it.
func (in chatRequest) conversation() (Request, error) {
	req := Request{Model: in.Model}
	open := map[string]bool{}
	for i, m := range in.Messages {
		if m.Role != "tool" && len(open) > 0 {
			return req, fmt.Errorf("messages.[%d]: an assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'", i)
		}
		switch m.Role {
		case "system", "developer":
			req.System = join(req.System, textOf(m.Content))
		case "user":
			req.Messages = append(req.Messages, Message{Role: "user", Text: textOf(m.Content)})
		case "assistant":
			msg := Message{Role: "assistant", Text: textOf(m.Content)}
			for _, c := range m.ToolCalls {
				open[c.ID] = true
				msg.Calls = append(msg.Calls, ToolCall{ID: c.ID, Name: c.Function.Name, Arguments: json.RawMessage(c.Function.Arguments)})
			}
			req.Messages = append(req.Messages, msg)
		case "tool":
			if !open[m.ToolCallID] {
				return req, fmt.Errorf("messages.[%d]: tool_call_id %q answers no call", i, m.ToolCallID)
			}
			delete(open, m.ToolCallID)
			result := ToolResult{CallID: m.ToolCallID, Content: textOf(m.Content)}
			if last := len(req.Messages) - 1; req.Messages[last].Role == "user" {
				req.Messages[last].Results = append(req.Messages[last].Results, result)
			} else {
				req.Messages = append(req.Messages, Message{Role: "user", Results: []ToolResult{result}})
			}
		default:
			return req, fmt.Errorf("messages.[%d]: role %q", i, m.Role)
		}
	}
	if len(open) > 0 {
		return req, fmt.Errorf("the last calls are not answered")
	}
	for _, t := range in.Tools {
		req.Tools = append(req.Tools, Tool{Name: t.Function.Name, Description: t.Function.Description, InputSchema: t.Function.Parameters})
	}
	return req, nil
}

func finishReason(turn Turn) string {
	if len(turn.Calls) > 0 {
		return "tool_calls"
	}
	return "stop"
}

// OpenAI counts what it read from its cache within the prompt.
func chatUsage(turn Turn) map[string]any {
	in := turn.Usage.InputTokens + turn.Usage.CacheReadTokens
	return map[string]any{
		"prompt_tokens": in, "completion_tokens": turn.Usage.OutputTokens, "total_tokens": in + turn.Usage.OutputTokens,
		"prompt_tokens_details": map[string]any{"cached_tokens": turn.Usage.CacheReadTokens},
	}
}

func chatMessage(turn Turn) map[string]any {
	m := map[string]any{"role": "assistant", "content": turn.Text, "refusal": nil}
	var calls []chatCall
	for _, c := range turn.Calls {
		call := chatCall{ID: c.ID, Type: "function"}
		call.Function.Name, call.Function.Arguments = c.Name, string(c.Arguments)
		calls = append(calls, call)
	}
	if calls != nil {
		m["tool_calls"] = calls
	}
	return m
}

// chatChunks is a turn as the stream tells it.
func chatChunks(in chatRequest, turn Turn, fault Fault) [][]byte {
	var out [][]byte
	data := func(v any) {
		text, _ := json.Marshal(v)
		if fault.Comments {
			out = append(out, []byte(": OPENROUTER PROCESSING\n\n"))
		}
		out = append(out, fmt.Appendf(nil, "data: %s\n\n", text))
	}
	chunk := func(delta map[string]any, finish any) {
		data(map[string]any{
			"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1, "model": in.Model,
			"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}},
		})
	}
	if fault.Error {
		data(map[string]any{"error": map[string]any{"message": "Overloaded", "type": "overloaded_error", "code": 529}})
		return out
	}
	chunk(map[string]any{"role": "assistant", "content": ""}, nil)
	for _, p := range pieces(turn.Thinking) {
		chunk(map[string]any{"reasoning_content": p}, nil)
	}
	for _, p := range pieces(turn.Text) {
		chunk(map[string]any{"content": p}, nil)
	}
	for i, c := range turn.Calls {
		chunk(map[string]any{"tool_calls": []any{map[string]any{
			"index": i, "id": c.ID, "type": "function", "function": map[string]any{"name": c.Name, "arguments": ""},
		}}}, nil)
		for _, p := range pieces(string(c.Arguments)) {
			chunk(map[string]any{"tool_calls": []any{map[string]any{"index": i, "function": map[string]any{"arguments": p}}}}, nil)
		}
	}
	chunk(map[string]any{}, finishReason(turn))
	if in.StreamOptions.IncludeUsage {
		data(map[string]any{
			"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1, "model": in.Model, "choices": []any{}, "usage": chatUsage(turn),
		})
	}
	return append(out, []byte("data: [DONE]\n\n"))
}
