package claudestandin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

const statusOK = 200

// apiError is an answer that is none.
type apiError struct {
	status        int
	kind, message string
}

func (e *apiError) Error() string { return e.message }

type apiMessage struct {
	Role    string `json:"role"`
	Content any    `json:"content"`
}

// toolSchemas are the tools that the model is offered.
var toolSchemas = []map[string]any{
	toolSchema("Bash", "Runs a command.", "command"), toolSchema("Write", "Writes a file.", "file_path", "content"), toolSchema("Read", "Reads a file.", "file_path"),
}

func toolSchema(name, description string, arguments ...string) map[string]any {
	properties := map[string]any{}
	for _, a := range arguments {
		properties[a] = map[string]string{"type": "string"}
	}
	return map[string]any{
		"name": name, "description": description,
		"input_schema": map[string]any{"type": "object", "properties": properties, "required": arguments},
	}
}

// model drives a conversation over the Messages API.
func (s *session) model(ctx context.Context) (string, error) {
	messages := []apiMessage{{Role: "user", Content: s.prompt}}
	for {
		if s.maxTurns > 0 && s.turns >= s.maxTurns {
			return "", errMaxTurns
		}
		blocks, u, err := s.ask(ctx, messages)
		if err != nil {
			return "", err
		}
		s.turns++
		s.out.message(blocks, u)
		text, results := "", []block{}
		for _, b := range blocks {
			if b["type"] == "text" {
				text, _ = b["text"].(string)
			}
			if b["type"] != "tool_use" {
				continue
			}
			name, _ := b["name"].(string)
			id, _ := b["id"].(string)
			input, _ := b["input"].(map[string]any)
			output, failed := s.execute(ctx, name, input)
			s.out.toolResult(id, output, failed)
			results = append(results, block{"type": "tool_result", "tool_use_id": id, "content": output, "is_error": failed})
		}
		if len(results) == 0 {
			return text, nil
		}
		messages = append(messages, apiMessage{Role: "assistant", Content: blocks}, apiMessage{Role: "user", Content: results})
	}
}

// ask makes one request, and another when the first does not succeed.
func (s *session) ask(ctx context.Context, messages []apiMessage) ([]block, usage, error) {
	for attempt := 1; ; attempt++ {
		blocks, u, err := s.post(ctx, messages)
		var refused *apiError
		if err == nil || attempt == 2 || !errors.As(err, &refused) {
			return blocks, u, err
		}
		s.out.retry(attempt, refused.status, refused.kind)
	}
}

func (s *session) post(ctx context.Context, messages []apiMessage) ([]block, usage, error) {
	if s.Post == nil {
		return nil, usage{}, errors.New("connection error: there is no network here")
	}
	body, err := json.Marshal(map[string]any{
		"model": s.options.model, "max_tokens": 4096, "system": "You are a stand-in. " + s.system, "messages": messages, "tools": toolSchemas,
	})
	if err != nil {
		return nil, usage{}, err
	}
	header := map[string]string{"Content-Type": "application/json", "Anthropic-Version": "2023-06-01", "X-Api-Key": s.Getenv("ANTHROPIC_API_KEY")}
	if trace := s.Getenv("TRACEPARENT"); trace != "" {
		header["Traceparent"] = trace
	}
	status, text, err := s.Post(ctx, strings.TrimRight(s.Getenv("ANTHROPIC_BASE_URL"), "/")+"/v1/messages?beta=true", header, body)
	if err != nil {
		return nil, usage{}, fmt.Errorf("connection error: %w", err)
	}
	var answer struct {
		Content []block `json:"content"`
		Usage   usage   `json:"usage"`
		Error   struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil && status == statusOK {
		return nil, usage{}, fmt.Errorf("the answer is no JSON: %w", err)
	}
	if status != statusOK {
		return nil, usage{}, &apiError{status: status, kind: answer.Error.Type, message: fmt.Sprintf("API Error: %d %s", status, answer.Error.Message)}
	}
	return answer.Content, answer.Usage, nil
}
