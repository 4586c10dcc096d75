package claudestandin

import (
	"encoding/json"
	"io"
	"maps"
)

// stream prints lines as Claude Code 2.1 does.
type stream struct {
	to      io.Writer
	model   string
	partial bool
	number  int
	total   usage
}

type block = map[string]any

type usage struct {
	Input      uint64 `json:"input_tokens"`
	Output     uint64 `json:"output_tokens"`
	CacheRead  uint64 `json:"cache_read_input_tokens"`
	CacheWrite uint64 `json:"cache_creation_input_tokens"`
}

const sessionID = "00000000-0000-4000-8000-000000000000"

// line prints one. A reader that has gone is noticed by the signal, or not at all.
func (s *stream) line(fields map[string]any) {
	fields["session_id"] = sessionID
	text, err := json.Marshal(fields)
	if err != nil {
		return
	}
	s.to.Write(append(text, '\n'))
}

func (s *stream) init(dir string) {
	s.line(map[string]any{
		"type": "system", "subtype": "init", "cwd": dir, "model": s.model, "tools": []string{"Bash", "Read", "Write"}, "skills": []string{},
		"mcp_servers": []any{}, "permissionMode": "bypassPermissions", "claude_code_version": "2.1.0 (stand-in)",
	})
}

func (s *stream) retry(attempt, status int, reason string) {
	s.line(map[string]any{
		"type": "system", "subtype": "api_retry", "attempt": attempt, "max_retries": 2, "retry_delay_ms": 1, "error_status": status, "error": reason,
	})
}

// event passes an event of the API through.
func (s *stream) event(fields map[string]any) {
	if s.partial {
		s.line(map[string]any{"type": "stream_event", "event": fields, "parent_tool_use_id": nil})
	}
}

// message prints a message of the model: pieces if they are wanted, then each block whole, with the usage of when it began.
func (s *stream) message(blocks []block, u usage) {
	s.number++
	began := u
	began.Output = 1
	s.event(map[string]any{"type": "message_start", "message": map[string]any{"model": s.model, "role": "assistant", "content": []any{}, "usage": began}})
	for i, b := range blocks {
		if text, ok := b["text"].(string); ok {
			half := []rune(text)
			for _, piece := range []string{string(half[:len(half)/2]), string(half[len(half)/2:])} {
				s.event(map[string]any{"type": "content_block_delta", "index": i, "delta": map[string]any{"type": "text_delta", "text": piece}})
			}
		}
		s.line(map[string]any{"type": "assistant", "parent_tool_use_id": nil, "message": map[string]any{
			"model": s.model, "role": "assistant", "content": []block{b}, "stop_reason": nil, "usage": began,
		}})
	}
	s.event(map[string]any{"type": "message_delta", "delta": map[string]any{"stop_reason": "end_turn"}, "usage": map[string]any{"output_tokens": u.Output}})
	s.event(map[string]any{"type": "message_stop"})
	s.total.Input += u.Input
	s.total.Output += u.Output
	s.total.CacheRead += u.CacheRead
	s.total.CacheWrite += u.CacheWrite
}

// synthetic is what the real one says in place of a model.
func (s *stream) synthetic(text string) {
	s.line(map[string]any{"type": "assistant", "is_api_error_message": true, "message": map[string]any{
		"model": "<synthetic>", "role": "assistant", "content": []block{{"type": "text", "text": text}}, "usage": usage{},
	}})
}

func (s *stream) toolResult(id, output string, failed bool) {
	s.line(map[string]any{"type": "user", "message": map[string]any{"role": "user", "content": []block{
		{"type": "tool_result", "tool_use_id": id, "content": output, "is_error": failed},
	}}})
}

// result ends the run. The stand-in knows no price, and says so in the way of the real one.
func (s *stream) result(fields map[string]any) {
	all := map[string]any{"type": "result", "duration_ms": 1, "total_cost_usd": 0.0, "usage": s.total, "modelUsage": map[string]any{}}
	if s.total != (usage{}) {
		all["modelUsage"] = map[string]any{s.model: map[string]any{
			"inputTokens": s.total.Input, "outputTokens": s.total.Output, "cacheReadInputTokens": s.total.CacheRead,
			"cacheCreationInputTokens": s.total.CacheWrite, "costUSD": 0.0, "costBasis": "unknown",
		}}
	}
	maps.Copy(all, fields)
	s.line(all)
}
