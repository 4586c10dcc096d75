package codex

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/voidbox-run/voidbox/sdk/llm"
)

// NewParser returns a parser for one run.
func NewParser() llm.Parser { return &parser{open: map[string]bool{}} }

type parser struct {
	begun  bool
	open   map[string]bool // calls that were announced
	text   string          // last words of the agent
	result llm.Result
	ended  bool // a turn has ended, so that there is a result
	closed bool
}

// maxOpen bounds how many calls are remembered.
const maxOpen = 10_000

// line is what a line may hold; which of it does depends on Type.
type line struct {
	Type     string `json:"type"`
	ThreadID string `json:"thread_id"`
	Message  string `json:"message"`
	Item     *item  `json:"item"`
	Usage    *usage `json:"usage"`
	Error    struct {
		Message string `json:"message"`
	} `json:"error"`
}

type usage struct {
	Input      uint64 `json:"input_tokens"`
	Cached     uint64 `json:"cached_input_tokens"`
	CacheWrite uint64 `json:"cache_write_input_tokens"`
	Output     uint64 `json:"output_tokens"`
}

type item struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Text     string `json:"text"`
	Status   string `json:"status"`
	Command  string `json:"command"`
	Output   string `json:"aggregated_output"`
	ExitCode *int   `json:"exit_code"`

	Server    string          `json:"server"`
	Tool      string          `json:"tool"`
	Arguments json.RawMessage `json:"arguments"`
	Result    json.RawMessage `json:"result"`
	Error     json.RawMessage `json:"error"`
	Changes   json.RawMessage `json:"changes"`
	Query     string          `json:"query"`
}

// Line takes a line. One that is no JSON, or of an unknown type, says nothing.
func (p *parser) Line(text []byte) ([]llm.Event, error) {
	var l line
	var odd *json.UnmarshalTypeError // a field of another type is left out; the others are there
	if err := json.Unmarshal(text, &l); err != nil && !errors.As(err, &odd) {
		return nil, nil
	}
	switch l.Type {
	case "thread.started":
		if !p.begun {
			p.begun = true
			return []llm.Event{llm.Init{Session: l.ThreadID}}, nil
		}
	case "item.started":
		return p.announce(l.Item), nil
	case "item.completed":
		return p.completed(l.Item), nil
	case "turn.completed":
		return p.turn(l.Usage), nil
	case "turn.failed":
		p.ended = true
		p.result.Error = "Codex: " + firstOf(l.Error.Message, l.Message, "the turn failed")
	case "error":
		if l.Message != "" {
			return []llm.Event{llm.Retry{Reason: l.Message}}, nil
		}
	}
	return nil, nil
}

// Close hands over the result.
func (p *parser) Close() ([]llm.Event, error) {
	if !p.ended || p.closed {
		return nil, nil
	}
	p.closed = true
	if p.result.Error == "" {
		p.result.Text = p.text
	}
	p.result.Turns = max(p.result.Turns, 1)
	return []llm.Event{p.result}, nil
}

// turn ends a turn with what it took.
func (p *parser) turn(u *usage) []llm.Event {
	p.ended = true
	p.result.Turns++
	p.result.Error = ""
	if u == nil || *u == (usage{}) {
		return nil
	}
	cached := min(u.Cached, u.Input)
	written := min(u.CacheWrite, u.Input-cached)
	used := llm.Usage{InputTokens: u.Input - cached - written, CacheReadTokens: cached, CacheWriteTokens: written, OutputTokens: u.Output}
	p.result.Usage = p.result.Usage.Add(used)
	return []llm.Event{used}
}

// announce is the call of a tool, before its result. Each is announced once.
func (p *parser) announce(it *item) []llm.Event {
	if it == nil || p.open[it.ID] || len(p.open) >= maxOpen {
		return nil
	}
	call := llm.ToolCall{ID: it.ID}
	switch it.Type {
	case "command_execution":
		call.Name, call.Arguments = "shell", object("command", it.Command)
	case "mcp_tool_call":
		call.Name, call.Arguments = it.Server+"."+it.Tool, it.Arguments
	case "file_change":
		call.Name, call.Arguments = "edit", object("changes", it.Changes)
	case "web_search":
		call.Name, call.Arguments = "web_search", object("query", it.Query)
	default:
		return nil
	}
	p.open[it.ID] = true
	return []llm.Event{call}
}

func (p *parser) completed(it *item) []llm.Event {
	if it == nil {
		return nil
	}
	switch it.Type {
	case "agent_message":
		if it.Text == "" {
			return nil
		}
		p.text = it.Text
		return []llm.Event{llm.Text{Text: it.Text}}
	case "reasoning":
		if it.Text == "" {
			return nil
		}
		return []llm.Event{llm.Text{Text: it.Text, Thinking: true}}
	}
	events := p.announce(it)
	if !p.open[it.ID] {
		return events
	}
	delete(p.open, it.ID)
	result := llm.ToolResult{CallID: it.ID, Content: it.Output, Error: it.Status == "failed" || it.Status == "declined" || it.ExitCode != nil && *it.ExitCode != 0}
	if result.Content == "" {
		result.Content = firstOf(told(it.Result), told(it.Error))
	}
	return append(events, result)
}

// told is what an MCP server answered: its texts, or all of it.
func told(raw json.RawMessage) string {
	var answer struct {
		Message string `json:"message"`
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
	}
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	if json.Unmarshal(raw, &answer) != nil {
		return string(raw)
	}
	var texts []string
	for _, c := range answer.Content {
		texts = append(texts, c.Text)
	}
	return firstOf(strings.Join(texts, "\n"), answer.Message, string(raw))
}

func object(name string, value any) json.RawMessage {
	out, err := json.Marshal(map[string]any{name: value})
	if err != nil {
		return json.RawMessage("{}")
	}
	return out
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
