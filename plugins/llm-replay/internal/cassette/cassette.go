package cassette

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// Version is the format that this package reads.
const Version = 1

// maxSize bounds a cassette in bytes.
const maxSize = 16 << 20

// Cassette is a file of conversations.
type Cassette struct {
	Version       int             `json:"voidbox_cassette"`
	Model         string          `json:"model"`
	Price         *Price          `json:"price"`
	Conversations []*Conversation `json:"conversations"`

	name string // of the file, for messages
}

// Price is in US dollars for a million tokens.
type Price struct {
	Input      float64 `json:"input"`
	Output     float64 `json:"output"`
	CacheRead  float64 `json:"cache_read"`
	CacheWrite float64 `json:"cache_write"`
}

// Conversation is one recorded conversation.
type Conversation struct {
	Name  string  `json:"name"`
	Match string  `json:"match"` // regular expression over the first prompt; empty matches all
	Times int     `json:"times"` // how many agents may play it; 0 means any number
	Turns []*Turn `json:"turns"`

	match *regexp.Regexp
}

// Turn is one turn of the model.
type Turn struct {
	Expect   *Expect  `json:"expect"`
	Retries  []string `json:"retries"` // reasons, reported before the turn
	Thinking string   `json:"thinking"`
	Opaque   string   `json:"opaque"`
	Text     string   `json:"text"`
	Tools    []*Call  `json:"tools"`
	Usage    Usage    `json:"usage"`
	Stop     string   `json:"stop"`
	Error    *Failure `json:"error"`
	Hang     bool     `json:"hang"`
}

// Expect says how a conversation must look before a turn.
type Expect struct {
	User    *pattern            `json:"user"`
	Results map[string]*pattern `json:"results"` // by id of the call
}

// Call is a tool call.
type Call struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Arguments any    `json:"arguments"`
	Raw       string `json:"raw"` // in place of arguments: text that need not be JSON
}

// Usage is what a turn took.
type Usage struct {
	InputTokens      uint64   `json:"input_tokens"`
	OutputTokens     uint64   `json:"output_tokens"`
	CacheReadTokens  uint64   `json:"cache_read_tokens"`
	CacheWriteTokens uint64   `json:"cache_write_tokens"`
	CostUSD          *float64 `json:"cost_usd"`
}

// Failure is an error in place of a turn.
type Failure struct {
	Kind    string `json:"kind"` // unavailable, exhausted, unauthenticated, invalid or permission
	Message string `json:"message"`
}

var failures = map[string]error{
	"unavailable": errdef.ErrUnavailable, "exhausted": errdef.ErrExhausted, "unauthenticated": errdef.ErrUnauthenticated,
	"invalid": errdef.ErrInvalid, "permission": errdef.ErrPermission,
}

// Load reads a cassette and checks all of it.
func Load(path string) (*Cassette, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open cassette: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read cassette: %w", err)
	}
	if len(text) > maxSize {
		return nil, fmt.Errorf("cassette %s is larger than %d bytes", path, maxSize)
	}
	c, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("cassette %s: %w", path, err)
	}
	c.name = filepath.Base(path)
	return c, nil
}

// Parse reads a cassette from its text.
func Parse(text []byte) (*Cassette, error) {
	c := &Cassette{name: "cassette"}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(c); err != nil {
		return nil, fmt.Errorf("%w%s", err, place(text, err, dec))
	}
	if c.Version != Version {
		return nil, fmt.Errorf("voidbox_cassette is %d, this plugin plays version %d", c.Version, Version)
	}
	if c.Model == "" {
		c.Model = "replay"
	}
	if len(c.Conversations) == 0 {
		return nil, fmt.Errorf("there are no conversations in it")
	}
	for i, conv := range c.Conversations {
		if conv == nil {
			return nil, fmt.Errorf("conversation %d is null", i+1)
		}
		if conv.Name == "" {
			conv.Name = fmt.Sprint(i + 1)
		}
		if err := conv.check(); err != nil {
			return nil, fmt.Errorf("conversation %q: %w", conv.Name, err)
		}
	}
	return c, nil
}

// place says in which line a syntax error is.
func place(text []byte, err error, dec *json.Decoder) string {
	offset := dec.InputOffset()
	if syntax, ok := err.(*json.SyntaxError); ok {
		offset = syntax.Offset
	}
	offset = min(max(offset, 0), int64(len(text)))
	return fmt.Sprintf(" (near line %d)", 1+bytes.Count(text[:offset], []byte{'\n'}))
}

func (c *Conversation) check() (err error) {
	if c.match, err = regexp.Compile(c.Match); err != nil {
		return fmt.Errorf("match: %w", err)
	}
	ids := map[string]bool{}
	for i, t := range c.Turns {
		if t == nil {
			return fmt.Errorf("turn %d is null", i+1)
		}
		if err := t.check(i+1, ids); err != nil {
			return fmt.Errorf("turn %d: %w", i+1, err)
		}
	}
	return nil
}

var stops = []llm.StopReason{llm.EndTurn, llm.ToolUse, llm.MaxTokens, llm.Refusal}

// check gives calls their ids, and finds what is wrong with the turn. ids are those of the turns before.
func (t *Turn) check(number int, ids map[string]bool) error {
	if t.Expect != nil {
		for id := range t.Expect.Results {
			if !ids[id] {
				return fmt.Errorf("expect: no tool was called with the id %q before", id)
			}
		}
	}
	if t.Stop != "" && !slices.Contains(stops, llm.StopReason(t.Stop)) {
		return fmt.Errorf("stop is %q; it must be one of %v", t.Stop, stops)
	}
	if t.Error != nil && failures[t.Error.Kind] == nil {
		return fmt.Errorf("error: there is no kind %q", t.Error.Kind)
	}
	for _, text := range []string{t.Text, t.Thinking} {
		if err := checkTemplate(text, ids); err != nil {
			return err
		}
	}
	for i, call := range t.Tools {
		if call == nil || call.Name == "" {
			return fmt.Errorf("tool %d has no name", i+1)
		}
		if err := checkTemplates(call.Arguments, ids); err != nil {
			return fmt.Errorf("tool %d: %w", i+1, err)
		}
	}
	for i, call := range t.Tools {
		if call.ID == "" {
			call.ID = fmt.Sprintf("call_%d_%d", number, i+1)
		}
		if ids[call.ID] {
			return fmt.Errorf("tool %d: the id %q is taken", i+1, call.ID)
		}
		ids[call.ID] = true
	}
	return nil
}
