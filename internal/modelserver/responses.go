package modelserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// The Responses API, without state on the server: every request brings the whole conversation as a list of items.

type responsesRequest struct {
	Model        string          `json:"model"`
	Stream       bool            `json:"stream"`
	Instructions string          `json:"instructions"`
	Input        json.RawMessage `json:"input"`
	Tools        []struct {
		Type        string          `json:"type"`
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
	} `json:"tools"`
}

type responseItem struct {
	Type      string          `json:"type"`
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Namespace string          `json:"namespace"`
	Arguments string          `json:"arguments"`
	Input     string          `json:"input"`
	Output    json.RawMessage `json:"output"`
	Encrypted string          `json:"encrypted_content"`
}

func (s *Server) responses(w http.ResponseWriter, r *http.Request) {
	var in responsesRequest
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
	turn = signedIDs(turn)
	if !in.Stream {
		answer(w, responseOf(in.Model, turn, "completed"))
		return
	}
	fault.stream(w, r, "text/event-stream; charset=utf-8", responseEvents(in.Model, turn, fault))
}

// conversation reads the items. A call of a turn that reasoned must come with its reasoning.
func (in responsesRequest) conversation() (Request, error) {
	req := Request{Model: in.Model, System: in.Instructions}
	var items []responseItem
	if text := ""; json.Unmarshal(in.Input, &text) == nil {
		items = []responseItem{{Type: "message", Role: "user", Content: in.Input}}
	} else if err := json.Unmarshal(in.Input, &items); err != nil {
		return req, fmt.Errorf("input: %v", err)
	}
	// last returns the message of a role that the item belongs to.
	last := func(role string) *Message {
		if n := len(req.Messages); n == 0 || req.Messages[n-1].Role != role {
			req.Messages = append(req.Messages, Message{Role: role})
		}
		return &req.Messages[len(req.Messages)-1]
	}
	open, reasoned := map[string]bool{}, false
	for i, item := range items {
		switch item.Type {
		case "message", "":
			switch item.Role {
			case "system", "developer":
				req.System = join(req.System, textOf(item.Content))
			default:
				m := last(item.Role)
				m.Text = join(m.Text, textOf(item.Content))
			}
		case "reasoning":
			if item.Encrypted == "" || item.Encrypted != signature("reasoning") {
				return req, fmt.Errorf("input[%d]: the encrypted content could not be verified", i)
			}
			reasoned = true
		case "function_call", "custom_tool_call":
			if isSigned(item.CallID) && !reasoned {
				return req, fmt.Errorf("input[%d]: 'function_call' was provided without its required 'reasoning' item", i)
			}
			open[item.CallID] = true
			m := last("assistant")
			m.Calls = append(m.Calls, ToolCall{ID: item.CallID, Name: item.tool(), Arguments: json.RawMessage(item.Arguments + item.Input)})
		case "function_call_output", "custom_tool_call_output":
			if !open[item.CallID] {
				return req, fmt.Errorf("input[%d]: no tool call found for function call output with call_id %s", i, item.CallID)
			}
			delete(open, item.CallID)
			m := last("user")
			m.Results = append(m.Results, ToolResult{CallID: item.CallID, Content: textOf(item.Output)})
		}
	}
	if len(open) > 0 {
		return req, fmt.Errorf("no tool output found for a function call")
	}
	for _, t := range in.Tools {
		req.Tools = append(req.Tools, Tool{Name: t.Name, Description: t.Description, InputSchema: t.Parameters})
	}
	return req, nil
}

func responseOf(model string, turn Turn, status string) map[string]any {
	return map[string]any{
		"id": "resp_scripted", "object": "response", "created_at": 1, "status": status, "model": model, "output": itemsOf(turn),
		"error": nil, "incomplete_details": nil, "parallel_tool_calls": true, "tools": []any{}, "tool_choice": "auto",
		"usage": map[string]any{
			"input_tokens": turn.Usage.InputTokens + turn.Usage.CacheReadTokens, "output_tokens": turn.Usage.OutputTokens,
			"total_tokens":          turn.Usage.InputTokens + turn.Usage.CacheReadTokens + turn.Usage.OutputTokens,
			"input_tokens_details":  map[string]any{"cached_tokens": turn.Usage.CacheReadTokens},
			"output_tokens_details": map[string]any{"reasoning_tokens": 0},
		},
	}
}

func itemsOf(turn Turn) []map[string]any {
	items := []map[string]any{}
	if turn.Thinking != "" {
		items = append(items, map[string]any{
			"type": "reasoning", "id": "rs_1", "encrypted_content": signature("reasoning"),
			"summary": []any{map[string]any{"type": "summary_text", "text": turn.Thinking}},
		})
	}
	if turn.Text != "" {
		items = append(items, map[string]any{
			"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
			"content": []any{map[string]any{"type": "output_text", "text": turn.Text, "annotations": []any{}}},
		})
	}
	for i, c := range turn.Calls {
		items = append(items, callItem(fmt.Sprintf("fc_%d", i), c))
	}
	return items
}

// tool is the name of a call's tool, with its namespace in front: "mcp__server.tool".
func (i responseItem) tool() string {
	if i.Namespace != "" {
		return i.Namespace + "." + i.Name
	}
	return i.Name
}

// callItem is a call as the protocol has it: by namespace and name where the name has a dot, and of a custom tool, which takes text
// and no JSON, where the rule says so.
func callItem(id string, c ToolCall) map[string]any {
	item := map[string]any{"type": "function_call", "id": id, "call_id": c.ID, "name": c.Name, "arguments": string(c.Arguments), "status": "completed"}
	if space, name, ok := strings.Cut(c.Name, "."); ok {
		item["namespace"], item["name"] = space, name
	}
	if c.custom {
		item["type"], item["input"] = "custom_tool_call", item["arguments"]
		delete(item, "arguments")
	}
	return item
}

// responseEvents is a turn as the stream tells it.
func responseEvents(model string, turn Turn, fault Fault) [][]byte {
	var out [][]byte
	number := 0
	send := func(kind string, fields map[string]any) {
		fields["type"], fields["sequence_number"] = kind, number
		number++
		data, _ := json.Marshal(fields)
		if fault.Comments {
			out = append(out, []byte(": comment\n\nevent: response.future\ndata: {\"type\":\"response.future\"}\n\n"))
		}
		out = append(out, fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, data))
	}
	if fault.Error {
		send("error", map[string]any{"code": "server_is_overloaded", "message": "Overloaded", "param": nil})
		return out
	}
	send("response.created", map[string]any{"response": responseOf(model, Turn{}, "in_progress")})
	for i, item := range itemsOf(turn) {
		send("response.output_item.added", map[string]any{"output_index": i, "item": map[string]any{
			"type": item["type"], "id": item["id"], "status": "in_progress", "name": item["name"], "call_id": item["call_id"], "arguments": "", "content": []any{}, "summary": []any{}, "role": "assistant",
		}})
		delta := func(kind, text string) {
			for _, p := range pieces(text) {
				send(kind, map[string]any{"item_id": item["id"], "output_index": i, "content_index": 0, "summary_index": 0, "delta": p})
			}
		}
		switch item["type"] {
		case "reasoning":
			delta("response.reasoning_summary_text.delta", turn.Thinking)
		case "message":
			delta("response.output_text.delta", turn.Text)
		case "function_call":
			delta("response.function_call_arguments.delta", item["arguments"].(string))
		case "custom_tool_call":
			delta("response.custom_tool_call_input.delta", item["input"].(string))
		}
		send("response.output_item.done", map[string]any{"output_index": i, "item": item})
	}
	send("response.completed", map[string]any{"response": responseOf(model, turn, "completed")})
	return out
}
