package modelserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Ollama's own API, one JSON document a line where it streams.

func (s *Server) ollama() {
	s.mux.HandleFunc("POST /api/chat", s.ollamaChat)
	s.mux.HandleFunc("POST /api/show", s.ollamaShow)
	s.mux.HandleFunc("POST /api/pull", s.ollamaPull)
	s.mux.HandleFunc("GET /api/tags", s.ollamaTags)
	s.mux.HandleFunc("GET /api/version", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]string{"version": "0.17.4"}) })
}

func ollamaError(_ int, message string) any { return map[string]string{"error": message} }

type ollamaMessage struct {
	Role      string `json:"role"`
	Content   string `json:"content"`
	Thinking  string `json:"thinking,omitempty"`
	ToolCalls []struct {
		ID       string `json:"id"`
		Function struct {
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"function"`
	} `json:"tool_calls"`
	ToolName   string `json:"tool_name"`
	ToolCallID string `json:"tool_call_id"`
}

type ollamaRequest struct {
	Model    string          `json:"model"`
	Messages []ollamaMessage `json:"messages"`
	Stream   *bool           `json:"stream"`
	Tools    []struct {
		Function struct {
			Name        string          `json:"name"`
			Description string          `json:"description"`
			Parameters  json.RawMessage `json:"parameters"`
		} `json:"function"`
	} `json:"tools"`
	Options struct {
		NumCtx int `json:"num_ctx"`
	} `json:"options"`
}

func (s *Server) ollamaChat(w http.ResponseWriter, r *http.Request) {
	var in ollamaRequest
	fail := func(status int, format string, args ...any) {
		refuse(w, status, ollamaError(status, fmt.Sprintf(format, args...)))
	}
	if !s.allowed(r) {
		fail(http.StatusUnauthorized, "unauthorized")
		return
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail(http.StatusBadRequest, "%v", err)
		return
	}
	model, ok := s.model(in.Model)
	if !ok {
		fail(http.StatusNotFound, "model '%s' not found", in.Model)
		return
	}
	if len(in.Tools) > 0 && !model.Tools {
		fail(http.StatusBadRequest, "%s does not support tools", in.Model)
		return
	}
	req, err := in.conversation()
	var turn Turn
	if err == nil {
		turn, err = s.Turn(req)
	}
	if err != nil {
		fail(http.StatusBadRequest, "%v", err)
		return
	}
	fault := s.fault(turn.fault)
	if fault.refuses(w, r, ollamaError) {
		return
	}
	turn.Text = fault.spoil(turn.Text)
	frames := ollamaChunks(in, turn, fault)
	if in.Stream != nil && !*in.Stream {
		answer(w, ollamaWhole(in, turn))
		return
	}
	fault.stream(w, r, "application/x-ndjson", frames)
}

// conversation reads the messages. Ollama ties a result to its call by id where there is one, else by the tool's name.
func (in ollamaRequest) conversation() (Request, error) {
	req := Request{Model: in.Model}
	for i, m := range in.Messages {
		switch m.Role {
		case "system":
			req.System = join(req.System, m.Content)
		case "user":
			req.Messages = append(req.Messages, Message{Role: "user", Text: m.Content})
		case "assistant":
			msg := Message{Role: "assistant", Text: m.Content}
			for _, c := range m.ToolCalls {
				var object map[string]any
				if json.Unmarshal(c.Function.Arguments, &object) != nil {
					return req, fmt.Errorf("json: cannot unmarshal arguments of message %d into an object", i)
				}
				if isSigned(c.ID) && m.Thinking == "" {
					return req, fmt.Errorf("message %d: the thinking did not come back", i)
				}
				msg.Calls = append(msg.Calls, ToolCall{ID: c.ID, Name: c.Function.Name, Arguments: c.Function.Arguments})
			}
			req.Messages = append(req.Messages, msg)
		case "tool":
			if m.ToolCallID == "" && m.ToolName == "" {
				return req, fmt.Errorf("message %d answers no call", i)
			}
			result := ToolResult{CallID: m.ToolCallID, Content: m.Content}
			if last := len(req.Messages) - 1; last >= 0 && req.Messages[last].Role == "user" {
				req.Messages[last].Results = append(req.Messages[last].Results, result)
			} else {
				req.Messages = append(req.Messages, Message{Role: "user", Results: []ToolResult{result}})
			}
		}
	}
	for _, t := range in.Tools {
		req.Tools = append(req.Tools, Tool{Name: t.Function.Name, Description: t.Function.Description, InputSchema: t.Function.Parameters})
	}
	return req, nil
}

const ollamaTime = "2026-11-26T00:00:00Z"

func ollamaCalls(turn Turn) []any {
	var calls []any
	for i, c := range signedIDs(turn).Calls {
		calls = append(calls, map[string]any{"id": c.ID, "function": map[string]any{"index": i, "name": c.Name, "arguments": c.Arguments}})
	}
	return calls
}

func ollamaEnd(in ollamaRequest, turn Turn, message map[string]any) map[string]any {
	return map[string]any{
		"model": in.Model, "created_at": ollamaTime, "message": message, "done": true, "done_reason": "stop", "total_duration": 1,
		"prompt_eval_count": turn.Usage.InputTokens, "eval_count": turn.Usage.OutputTokens,
	}
}

func ollamaWhole(in ollamaRequest, turn Turn) map[string]any {
	m := map[string]any{"role": "assistant", "content": turn.Text}
	if calls := ollamaCalls(turn); calls != nil {
		m["tool_calls"] = calls
	}
	if turn.Thinking != "" {
		m["thinking"] = turn.Thinking
	}
	return ollamaEnd(in, turn, m)
}

func ollamaChunks(in ollamaRequest, turn Turn, fault Fault) [][]byte {
	var out [][]byte
	send := func(v any) {
		text, _ := json.Marshal(v)
		out = append(out, append(text, '\n'))
		if fault.Comments {
			out = append(out, []byte("\n{\"model\":\"x\",\"future\":[1]}\n"))
		}
	}
	if fault.Error {
		send(map[string]string{"error": "an error was encountered while running the model: overloaded"})
		return out
	}
	piece := func(fields map[string]any) {
		fields["role"] = "assistant"
		if fields["content"] == nil {
			fields["content"] = ""
		}
		send(map[string]any{"model": in.Model, "created_at": ollamaTime, "message": fields, "done": false})
	}
	for _, p := range pieces(turn.Thinking) {
		piece(map[string]any{"thinking": p})
	}
	for _, p := range pieces(turn.Text) {
		piece(map[string]any{"content": p})
	}
	for _, c := range ollamaCalls(turn) {
		piece(map[string]any{"tool_calls": []any{c}})
	}
	send(ollamaEnd(in, turn, map[string]any{"role": "assistant", "content": ""}))
	return out
}

func (s *Server) ollamaShow(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Model string `json:"model"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, ollamaError(0, err.Error()))
		return
	}
	model, ok := s.model(in.Model)
	if !ok {
		refuse(w, http.StatusNotFound, ollamaError(0, fmt.Sprintf("model '%s' not found", in.Model)))
		return
	}
	capabilities := []string{"completion"}
	if model.Tools {
		capabilities = append(capabilities, "tools")
	}
	answer(w, map[string]any{
		"capabilities": capabilities, "details": map[string]any{"family": "test"}, "modified_at": ollamaTime,
		"model_info": map[string]any{"general.architecture": "test", "test.context_length": model.Context},
	})
}

func (s *Server) ollamaTags(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []any{}
	for _, m := range s.models {
		list = append(list, map[string]any{"name": m.Name, "model": m.Name, "modified_at": ollamaTime, "size": 1, "digest": "d"})
	}
	answer(w, map[string]any{"models": list})
}

func (s *Server) ollamaPull(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Model string `json:"model"`
		Name  string `json:"name"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, ollamaError(0, err.Error()))
		return
	}
	name := in.Model + in.Name
	fault := s.fault(nil)
	if fault.refuses(w, r, ollamaError) {
		return
	}
	s.mu.Lock()
	var found *Model
	for _, m := range s.pullable {
		if m.Name == name {
			found = &m
			s.models = append(s.models, m)
		}
	}
	s.mu.Unlock()
	line := func(format string, args ...any) []byte { return fmt.Appendf(nil, format+"\n", args...) }
	frames := [][]byte{line(`{"status":"pulling manifest"}`)}
	if found == nil {
		frames = append(frames, line(`{"error":"pull model manifest: file does not exist"}`))
	} else {
		for done := 0; done <= 100; done += 5 {
			frames = append(frames, line(`{"status":"pulling %s","digest":"sha256:%s","total":100,"completed":%d}`, name, strings.Repeat("a", 64), done))
		}
		frames = append(frames, line(`{"status":"verifying sha256 digest"}`), line(`{"status":"success"}`))
	}
	fault.stream(w, r, "application/x-ndjson", frames)
}
