package claudecode

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/sdk/llm"
)

// ParserOptions says what of the stream is not to be believed.
type ParserOptions struct {
	// IgnoreCost leaves out what Claude Code says of money: behind somebody else's server it prices models that are not there.
	IgnoreCost bool
}

// NewParser returns a parser for one run.
func NewParser(opt ParserOptions) llm.Parser { return &parser{opt: opt} }

type parser struct {
	opt     ParserOptions
	begun   bool
	request llm.Usage   // of the answer that is arriving
	result  *llm.Result // held back until the end: a run may print more than one
	closed  bool
}

// line is what a line may hold; which of it does depends on Type.
type line struct {
	Type    string `json:"type"`
	Subtype string `json:"subtype"`
	Parent  string `json:"parent_tool_use_id"`

	// system, init
	Model   string   `json:"model"`
	Tools   []string `json:"tools"`
	Skills  []string `json:"skills"`
	Session string   `json:"session_id"`

	// system, api_retry
	Attempt     int             `json:"attempt"`
	DelayMS     float64         `json:"retry_delay_ms"`
	ErrorStatus int             `json:"error_status"`
	Error       json.RawMessage `json:"error"`

	Message *message `json:"message"`
	Event   *event   `json:"event"`

	// result
	IsError    bool                  `json:"is_error"`
	Turns      int                   `json:"num_turns"`
	Result     string                `json:"result"`
	Errors     []string              `json:"errors"`
	ErrorType  string                `json:"api_error_type"`
	CostUSD    float64               `json:"total_cost_usd"`
	Usage      *usage                `json:"usage"`
	ModelUsage map[string]modelUsage `json:"modelUsage"`
}

type message struct {
	Content json.RawMessage `json:"content"`
	Usage   *usage          `json:"usage"`
}

type content struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
}

// event is one of the Messages API's, passed through.
type event struct {
	Type    string   `json:"type"`
	Message *message `json:"message"`
	Delta   struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		Thinking string `json:"thinking"`
	} `json:"delta"`
	Usage *usage `json:"usage"`
}

type usage struct {
	Input      uint64 `json:"input_tokens"`
	Output     uint64 `json:"output_tokens"`
	CacheRead  uint64 `json:"cache_read_input_tokens"`
	CacheWrite uint64 `json:"cache_creation_input_tokens"`
}

func (u usage) tokens() llm.Usage {
	return llm.Usage{InputTokens: u.Input, OutputTokens: u.Output, CacheReadTokens: u.CacheRead, CacheWriteTokens: u.CacheWrite}
}

type modelUsage struct {
	Input      uint64 `json:"inputTokens"`
	Output     uint64 `json:"outputTokens"`
	CacheRead  uint64 `json:"cacheReadInputTokens"`
	CacheWrite uint64 `json:"cacheCreationInputTokens"`
	CostBasis  string `json:"costBasis"`
}

// Line takes a line. One that is no JSON, or of an unknown type, says nothing.
func (p *parser) Line(text []byte) ([]llm.Event, error) {
	var l line
	var odd *json.UnmarshalTypeError // a field of another type is left out; the others are there
	if err := json.Unmarshal(text, &l); err != nil && !errors.As(err, &odd) {
		return nil, nil
	}
	switch l.Type {
	case "system":
		return p.system(l), nil
	case "stream_event":
		return p.piece(l), nil
	case "assistant", "user":
		return p.message(l), nil
	case "result":
		p.result = p.verdict(l)
	}
	return nil, nil
}

// Close hands over the result.
func (p *parser) Close() ([]llm.Event, error) {
	if p.result == nil || p.closed {
		return nil, nil
	}
	p.closed = true
	return []llm.Event{*p.result}, nil
}

func (p *parser) system(l line) []llm.Event {
	switch {
	case l.Subtype == "init" && !p.begun:
		p.begun = true
		return []llm.Event{llm.Init{Model: l.Model, Tools: l.Tools, Skills: l.Skills, Session: l.Session}}
	case l.Subtype == "api_retry":
		var reason string
		if json.Unmarshal(l.Error, &reason) != nil || reason == "" {
			reason = "the provider did not answer"
		}
		if l.ErrorStatus > 0 {
			reason = fmt.Sprintf("%s (status %d)", reason, l.ErrorStatus)
		}
		return []llm.Event{llm.Retry{Attempt: max(l.Attempt, 0), Reason: reason, Delay: milliseconds(l.DelayMS)}}
	}
	return nil
}

func milliseconds(ms float64) time.Duration {
	if !(ms > 0 && ms < 1e9) {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// piece takes an event of the API. What subagents say piece by piece is left out, since it would mix with the agent's own words.
func (p *parser) piece(l line) []llm.Event {
	e := l.Event
	if e == nil {
		return nil
	}
	switch e.Type {
	case "message_start":
		p.request = llm.Usage{}
		if e.Message != nil && e.Message.Usage != nil {
			p.request = e.Message.Usage.tokens()
		}
	case "content_block_delta":
		if l.Parent != "" {
			return nil
		}
		if e.Delta.Text != "" {
			return []llm.Event{llm.Text{Text: e.Delta.Text, Partial: true}}
		}
		if e.Delta.Thinking != "" {
			return []llm.Event{llm.Text{Text: e.Delta.Thinking, Thinking: true, Partial: true}}
		}
	case "message_delta":
		if e.Usage == nil {
			return nil
		}
		used := p.request
		p.request = llm.Usage{}
		used.OutputTokens = e.Usage.Output
		for from, to := range map[*uint64]*uint64{
			&e.Usage.Input: &used.InputTokens, &e.Usage.CacheRead: &used.CacheReadTokens, &e.Usage.CacheWrite: &used.CacheWriteTokens,
		} {
			if *from > 0 {
				*to = *from
			}
		}
		return []llm.Event{used}
	}
	return nil
}

// message takes a whole message, of the model or with what its tools returned.
func (p *parser) message(l line) []llm.Event {
	if l.Message == nil {
		return nil
	}
	var blocks []content
	if json.Unmarshal(l.Message.Content, &blocks) != nil {
		return nil // a plain string is the prompt, said again
	}
	var events []llm.Event
	for _, b := range blocks[:min(len(blocks), llm.MaxParts)] {
		switch {
		case b.Type == "text" && l.Type == "assistant" && b.Text != "":
			events = append(events, llm.Text{Text: b.Text})
		case b.Type == "thinking" && b.Thinking != "":
			events = append(events, llm.Text{Text: b.Thinking, Thinking: true})
		case b.Type == "tool_use":
			events = append(events, llm.ToolCall{ID: b.ID, Name: b.Name, Arguments: b.Input})
		case b.Type == "tool_result":
			events = append(events, llm.ToolResult{CallID: b.ToolUseID, Content: plain(b.Content), Error: b.IsError})
		}
	}
	return events
}

// plain is the text of a tool's result, which is a string or a list of blocks.
func plain(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var blocks []content
	if json.Unmarshal(raw, &blocks) != nil {
		return string(raw)
	}
	var parts []string
	for _, b := range blocks {
		if b.Type == "text" {
			parts = append(parts, b.Text)
		} else {
			parts = append(parts, "["+b.Type+"]")
		}
	}
	return strings.Join(parts, "\n")
}

// verdict reads a result line.
func (p *parser) verdict(l line) *llm.Result {
	r := &llm.Result{Text: l.Result, Turns: max(l.Turns, 0), Usage: p.total(l)}
	if !l.IsError && (l.Subtype == "success" || l.Subtype == "") {
		return r
	}
	switch {
	case l.Subtype == "error_max_turns":
		r.Error = fmt.Sprintf("Claude Code reached its limit of turns (%d)", r.Turns)
	case l.Result != "":
		r.Error = "Claude Code: " + l.Result
	case len(l.Errors) > 0:
		r.Error = "Claude Code: " + strings.Join(l.Errors, "; ")
	default:
		r.Error = "Claude Code: " + strings.TrimSpace(l.Subtype+" "+l.ErrorType)
	}
	if l.ErrorType == "authentication_error" || strings.Contains(l.Result, "/login") {
		r.Error += " (the provider refused the credential, or none was given: check api_key in the llm block)"
	}
	r.Text = ""
	return r
}

// total adds up what all models took, those of subagents too.
func (p *parser) total(l line) llm.Usage {
	var sum usage
	if l.Usage != nil {
		sum = *l.Usage
	}
	known := true
	if len(l.ModelUsage) > 0 {
		sum = usage{}
	}
	for _, m := range l.ModelUsage {
		sum.Input += m.Input
		sum.Output += m.Output
		sum.CacheRead += m.CacheRead
		sum.CacheWrite += m.CacheWrite
		known = known && m.CostBasis != "" && m.CostBasis != "unknown"
	}
	out := sum.tokens()
	// Without a single model nothing was spent, if the tokens say so too.
	if len(l.ModelUsage) == 0 {
		known = out == llm.Usage{}
	}
	if known && !p.opt.IgnoreCost && l.CostUSD >= 0 {
		out.CostUSD, out.CostKnown = l.CostUSD, true
	}
	return out
}
