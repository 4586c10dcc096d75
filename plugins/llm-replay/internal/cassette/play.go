package cassette

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// maxConversations bounds how many conversations a player remembers.
const maxConversations = 100_000

// Player plays a cassette to many agents at once. Where a conversation stands is read off the request itself, so that a player
// remembers no more than who plays what.
type Player struct {
	cassette *Cassette

	mu      sync.Mutex
	playing map[string]*Conversation // by Request.Conversation
	played  map[*Conversation]int
}

// NewPlayer returns a player.
func NewPlayer(c *Cassette) *Player {
	return &Player{cassette: c, playing: map[string]*Conversation{}, played: map[*Conversation]int{}}
}

// Step is the next turn of a conversation, to be spoken.
type Step struct {
	Recorded *Turn
	Thinking string
	Turn     llm.Turn
}

// Next returns the next turn, or an error that says where the conversation went another way than the cassette.
func (p *Player) Next(req llm.Request) (Step, error) {
	first := textOf(req.Messages[0])
	conv, err := p.choose(req.Conversation, first)
	if err != nil {
		return Step{}, err
	}
	f := facts{prompt: first, results: map[string]string{}}
	number, err := conv.follow(req.Messages, &f)
	if err != nil {
		return Step{}, p.diverged(conv, number, err)
	}
	if number > len(conv.Turns) {
		return Step{}, p.diverged(conv, number, fmt.Errorf("the cassette ends after turn %d", len(conv.Turns)))
	}
	turn := conv.Turns[number-1]
	if err := turn.Expect.check(req.Messages[len(req.Messages)-1], f); err != nil {
		return Step{}, p.diverged(conv, number, err)
	}
	step, err := turn.speak(f)
	if err != nil {
		return Step{}, p.diverged(conv, number, err)
	}
	step.Turn.Model = p.cassette.Model
	return step, nil
}

// choose finds the conversation that an agent plays.
func (p *Player) choose(id, prompt string) (*Conversation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if conv := p.playing[id]; conv != nil && id != "" {
		return conv, nil
	}
	for _, conv := range p.cassette.Conversations {
		if !conv.match.MatchString(prompt) || conv.Times > 0 && p.played[conv] >= conv.Times {
			continue
		}
		if len(p.playing) >= maxConversations {
			return nil, errdef.New(errdef.ErrExhausted, "the player follows %d conversations already", maxConversations)
		}
		p.playing[id] = conv
		p.played[conv]++
		return conv, nil
	}
	return nil, errdef.New(errdef.ErrInvalid, "cassette %s: no conversation in it matches the prompt %s", p.cassette.name, shorten(prompt)).
		WithReason("cassette_diverged").WithRemedy("add a conversation whose match fits the prompt")
}

func (p *Player) diverged(c *Conversation, turn int, err error) error {
	return errdef.New(errdef.ErrInvalid, "cassette %s, conversation %q, turn %d: %w", p.cassette.name, c.Name, turn, err).
		WithReason("cassette_diverged").
		WithRemedy("change the cassette, or mask what may differ with * or /a regular expression/")
}

// follow walks through the messages so far, holds them against the recorded turns and collects what templates may quote. It
// returns the number of the turn to come, or of the one that differs.
func (c *Conversation) follow(messages []llm.Message, f *facts) (int, error) {
	number := 1
	var open []*Call
	for _, m := range messages {
		if m.Role == llm.User {
			if err := answer(open, m, f); err != nil {
				return number, err
			}
			open = nil
			continue
		}
		if number > len(c.Turns) {
			return number, fmt.Errorf("the conversation holds more turns of the model than the cassette")
		}
		if err := c.Turns[number-1].same(m); err != nil {
			return number, err
		}
		open = c.Turns[number-1].Tools
		number++
	}
	return number, nil
}

// same demands that a message is the recorded turn: its calls and its opaque state.
func (t *Turn) same(m llm.Message) error {
	var want, got []string
	for _, call := range t.Tools {
		want = append(want, call.ID)
	}
	opaque := ""
	for _, part := range m.Parts {
		if part.ToolCall != nil {
			got = append(got, part.ToolCall.ID)
		}
		opaque += string(part.Opaque)
	}
	if strings.Join(want, " ") != strings.Join(got, " ") {
		return fmt.Errorf("the history differs\nexpected: calls %q\ngot:      calls %q", want, got)
	}
	if opaque != t.Opaque {
		return fmt.Errorf("the opaque state did not come back\nexpected: %s\ngot:      %s", shorten(t.Opaque), shorten(opaque))
	}
	return nil
}

// answer demands that each open call was answered once, and nothing else was.
func answer(open []*Call, m llm.Message, f *facts) error {
	var got []string
	for _, part := range m.Parts {
		if r := part.ToolResult; r != nil {
			got = append(got, r.CallID)
			f.results[r.CallID] = r.Content
			f.last = r.Content
		}
	}
	var want []string
	for _, call := range open {
		want = append(want, call.ID)
	}
	if strings.Join(want, " ") != strings.Join(got, " ") {
		return fmt.Errorf("other tools were answered than called\nexpected: results of %q\ngot:      results of %q", want, got)
	}
	return nil
}

// check holds the last message against what is expected.
func (e *Expect) check(m llm.Message, f facts) error {
	if e == nil {
		return nil
	}
	if said := textOf(m); e.User != nil && !e.User.fits(said) {
		return fmt.Errorf("the user's text differs\nexpected: %s\ngot:      %s", e.User.text, shorten(said))
	}
	for id, want := range e.Results {
		if got := f.results[id]; want != nil && !want.fits(got) {
			return fmt.Errorf("the result of tool %q differs\nexpected: %s\ngot:      %s", id, want.text, shorten(got))
		}
	}
	return nil
}

// speak fills in the templates.
func (t *Turn) speak(f facts) (Step, error) {
	step := Step{Recorded: t, Turn: llm.Turn{Message: llm.Message{Role: llm.Assistant}, StopReason: llm.StopReason(t.Stop), Usage: t.Usage.usage()}}
	var err error
	if step.Thinking, err = f.expand(t.Thinking); err != nil {
		return Step{}, err
	}
	add := func(p llm.Part) { step.Turn.Message.Parts = append(step.Turn.Message.Parts, p) }
	if t.Opaque != "" {
		add(llm.Part{Opaque: []byte(t.Opaque)})
	}
	text, err := f.expand(t.Text)
	if err != nil {
		return Step{}, err
	}
	if text != "" {
		add(llm.Part{Text: text})
	}
	for _, call := range t.Tools {
		arguments := json.RawMessage(call.Raw)
		if call.Raw == "" {
			filled, err := f.expandAll(call.Arguments)
			if err != nil {
				return Step{}, err
			}
			if arguments, err = json.Marshal(filled); err != nil {
				return Step{}, err
			}
		}
		add(llm.Part{ToolCall: &llm.ToolCall{ID: call.ID, Name: call.Name, Arguments: arguments}})
	}
	if step.Turn.StopReason == "" {
		step.Turn.StopReason = llm.EndTurn
		if len(t.Tools) > 0 {
			step.Turn.StopReason = llm.ToolUse
		}
	}
	return step, nil
}

func (u Usage) usage() llm.Usage {
	out := llm.Usage{
		InputTokens: u.InputTokens, OutputTokens: u.OutputTokens, CacheReadTokens: u.CacheReadTokens, CacheWriteTokens: u.CacheWriteTokens,
	}
	if u.CostUSD != nil {
		out.CostUSD, out.CostKnown = *u.CostUSD, true
	}
	return out
}

// Err is the error that a turn is recorded as, nil for an ordinary one.
func (t *Turn) Err() error {
	if t.Error == nil {
		return nil
	}
	return errdef.New(failures[t.Error.Kind], "%s", t.Error.Message)
}

// textOf joins the texts of a message.
func textOf(m llm.Message) string {
	var texts []string
	for _, part := range m.Parts {
		if part.Text != "" {
			texts = append(texts, part.Text)
		}
	}
	return strings.Join(texts, "\n")
}

// Describe describes the model that the cassette was recorded with.
func (c *Cassette) Describe() llm.Model {
	m := llm.Model{ID: c.Model, Tools: true}
	if c.Price != nil {
		m.Price = &llm.Price{Input: c.Price.Input, Output: c.Price.Output, CacheRead: c.Price.CacheRead, CacheWrite: c.Price.CacheWrite}
	}
	return m
}
