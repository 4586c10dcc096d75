// Package cassette records what providers say, in the format that the plugin llm-replay plays (see its package cassette), so that a run
// with a real model can be had again without one.
//
// A recording holds the model's turns, not what tools returned: a replayed agent runs its tools for real. Who wants the conversation
// held against the recording adds expect by hand, with patterns for what may differ.
package cassette

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/voidbox-run/voidbox/sdk/llm"
)

// version is that of the format.
const version = 1

// maxMatch is how much of a prompt a recorded conversation is told by.
const maxMatch = 300

type (
	tape struct {
		Version       int             `json:"voidbox_cassette"`
		Model         string          `json:"model"`
		Conversations []*conversation `json:"conversations"`
	}
	conversation struct {
		Name  string `json:"name"`
		Match string `json:"match"`
		Times int    `json:"times,omitempty"`
		Turns []turn `json:"turns"`
	}
	turn struct {
		Thinking string `json:"thinking,omitempty"`
		Opaque   string `json:"opaque,omitempty"`
		Text     string `json:"text,omitempty"`
		Tools    []call `json:"tools,omitempty"`
		Usage    usage  `json:"usage"`
		Stop     string `json:"stop,omitempty"`
	}
	call struct {
		ID        string `json:"id"`
		Name      string `json:"name"`
		Arguments any    `json:"arguments,omitempty"`
		Raw       string `json:"raw,omitempty"`
	}
	usage struct {
		InputTokens      uint64   `json:"input_tokens"`
		OutputTokens     uint64   `json:"output_tokens"`
		CacheReadTokens  uint64   `json:"cache_read_tokens,omitempty"`
		CacheWriteTokens uint64   `json:"cache_write_tokens,omitempty"`
		CostUSD          *float64 `json:"cost_usd,omitempty"`
	}
)

// Recorder keeps the turns of all providers of a run. It may be used concurrently.
type Recorder struct {
	mu   sync.Mutex
	tape tape
	byID map[string]*conversation // by llm.Request.Conversation
}

// NewRecorder returns an empty recorder.
func NewRecorder() *Recorder {
	return &Recorder{tape: tape{Version: version, Conversations: []*conversation{}}, byID: map[string]*conversation{}}
}

// Provider returns m with its turns recorded.
func (r *Recorder) Provider(m llm.LLM) llm.LLM { return recorded{m, r} }

type recorded struct {
	llm.LLM
	to *Recorder
}

func (m recorded) Complete(ctx context.Context, req llm.Request, progress func(llm.Progress) error) (llm.Turn, error) {
	var thinking strings.Builder
	t, err := m.LLM.Complete(ctx, req, func(p llm.Progress) error {
		switch {
		case p.Retry != nil:
			thinking.Reset() // the next attempt begins anew
		case p.Delta != nil && p.Delta.Thinking:
			thinking.WriteString(p.Delta.Text)
		}
		if progress == nil {
			return nil
		}
		return progress(p)
	})
	if err == nil {
		m.to.add(req, t, thinking.String())
	}
	return t, err
}

// add keeps a turn.
func (r *Recorder) add(req llm.Request, t llm.Turn, thinking string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.byID[req.Conversation]
	if c == nil {
		c = &conversation{Name: nameOf(req.Conversation), Match: matchOf(req)}
		r.byID[req.Conversation] = c
		for _, earlier := range r.tape.Conversations {
			if earlier.Match == c.Match {
				earlier.Times = 1 // a second attempt at the same prompt plays what the second said
			}
		}
		r.tape.Conversations = append(r.tape.Conversations, c)
	}
	if r.tape.Model == "" {
		r.tape.Model = t.Model
	}
	c.Turns = append(c.Turns, turnOf(t, thinking))
}

// nameOf takes the id of the run out of a conversation's.
func nameOf(id string) string {
	if _, rest, ok := strings.Cut(id, "/"); ok {
		return rest
	}
	return id
}

// matchOf is a regular expression that finds the first prompt, by its beginning if it is long.
func matchOf(req llm.Request) string {
	var texts []string
	for _, part := range req.Messages[0].Parts {
		if part.Text != "" {
			texts = append(texts, part.Text)
		}
	}
	prompt, end := strings.Join(texts, "\n"), `\z`
	if len(prompt) > maxMatch {
		cut := maxMatch
		for !utf8.RuneStart(prompt[cut]) {
			cut--
		}
		prompt, end = prompt[:cut], ""
	}
	return `\A` + regexp.QuoteMeta(prompt) + end
}

func turnOf(t llm.Turn, thinking string) turn {
	out := turn{Thinking: literal(thinking), Stop: string(t.StopReason), Usage: usage{
		InputTokens: t.Usage.InputTokens, OutputTokens: t.Usage.OutputTokens,
		CacheReadTokens: t.Usage.CacheReadTokens, CacheWriteTokens: t.Usage.CacheWriteTokens,
	}}
	if t.Usage.CostKnown {
		out.Usage.CostUSD = &t.Usage.CostUSD
	}
	var texts []string
	for _, part := range t.Message.Parts {
		switch {
		case part.ToolCall != nil:
			c := call{ID: part.ToolCall.ID, Name: part.ToolCall.Name}
			if json.Unmarshal(part.ToolCall.Arguments, &c.Arguments) == nil {
				c.Arguments = literals(c.Arguments)
			} else {
				c.Arguments, c.Raw = nil, string(part.ToolCall.Arguments)
			}
			out.Tools = append(out.Tools, c)
		case part.Opaque != nil:
			out.Opaque += string(part.Opaque)
		case part.Text != "":
			texts = append(texts, part.Text)
		}
	}
	out.Text = literal(strings.Join(texts, "\n"))
	return out
}

// literal keeps a text from being read as a template.
func literal(s string) string { return strings.ReplaceAll(s, "{{", "{{`{{`}}") }

func literals(v any) any {
	switch v := v.(type) {
	case string:
		return literal(v)
	case []any:
		for i := range v {
			v[i] = literals(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = literals(v[key])
		}
	}
	return v
}

// Save writes the recording, cleaned by clean, whole or not at all. Without a turn there is nothing to write.
func (r *Recorder) Save(file string, clean func(string) string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.tape.Conversations) == 0 {
		return nil
	}
	text, err := json.MarshalIndent(r.tape, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the cassette: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), ".cassette-*")
	if err != nil {
		return fmt.Errorf("write the cassette: %w", err)
	}
	defer os.Remove(temporary.Name()) // it has been renamed, or is worth nothing
	_, err = temporary.WriteString(clean(string(text)) + "\n")
	if closeErr := temporary.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("write the cassette: %w", err)
	}
	return nil
}
