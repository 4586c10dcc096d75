package agent

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// reasonContext is what providers call a conversation that is longer than the model can read.
const reasonContext = "context_too_long"

// A conversation grows by what tools say, and a model reads only so much. Near that limit, what tools said long ago is shortened: the
// prompt, all that the model itself said, and the last turns stay as they are. It is done in steps, each shorter than the one before
// and over more of the conversation, and the same conversation is always shortened to the same: nobody but the model needs to agree
// with it, and no model is asked. When the last step does not suffice, the run ends and says what to do.

// A step of shortening says how long results and arguments may be, in bytes, and how many messages at the end are spared.
type step struct{ results, arguments, spared int }

var steps = []step{
	{results: 1000, arguments: 4000, spared: 6},
	{results: 200, arguments: 500, spared: 2},
	{results: 1000, arguments: 500, spared: 0}, // even the last results; those before are shorter already
}

// window is how much of the model's context a conversation takes.
type window struct {
	limit int // tokens that the model can read; 0 when unknown
	used  int // tokens of the last request and its answer, as the provider counted
	step  int // that was taken last, plus one
}

func newWindow(d llm.Description, model string) window {
	for _, m := range d.Models {
		if m.ID == model {
			return window{limit: m.ContextTokens}
		}
	}
	return window{}
}

// count takes note of a turn.
func (w *window) count(u llm.Usage) {
	w.used = int(min(u.InputTokens+u.CacheReadTokens+u.CacheWriteTokens+u.OutputTokens, 1<<40))
}

// full tells that the next request might not fit, since the last one took four fifths of the context and results come on top, at
// about four bytes a token.
func (w *window) full(results []llm.ToolResult) bool {
	if w.limit == 0 || w.used == 0 {
		return false
	}
	more := 0
	for _, r := range results {
		more += len(r.Content) / 4
	}
	return w.used+more > w.limit/5*4
}

// fit shortens the conversation where it nears the limit.
func (w *window) fit(messages []llm.Message, results []llm.ToolResult, rec *recorder) []llm.Message {
	total := 0
	for _, s := range steps[:len(steps)-1] { // the last one is for who has been refused
		if !w.full(results) {
			break
		}
		shorter, saved := shorten(messages, s)
		messages, total = shorter, total+saved
		w.used -= min(saved/4, w.used)
	}
	if total > 0 {
		w.told(rec, total)
	}
	return messages
}

// refused shortens a conversation that the provider has refused for its length, by the next step that shortens anything. Nil means
// that no step does.
func (w *window) refused(messages []llm.Message, rec *recorder) []llm.Message {
	for ; w.step < len(steps); w.step++ {
		if shorter, saved := shorten(messages, steps[w.step]); saved > 0 {
			w.step++
			w.told(rec, saved)
			return shorter
		}
	}
	return nil
}

func (w *window) told(rec *recorder, saved int) {
	of := "what the model can read"
	if w.limit > 0 {
		of = fmt.Sprintf("the %d tokens that the model can read", w.limit)
	}
	rec.warn(fmt.Sprintf("the conversation nears %s: %d bytes of what tools said before were left out", of, saved), "")
}

// isTooLong tells a conversation that is longer than the model can read.
func isTooLong(err error) bool {
	var e *errdef.Error
	return errors.As(err, &e) && e.Reason == reasonContext
}

// shorten returns the conversation with results and arguments cut to a step's length, and how many bytes that saved. Messages are
// copied where they change: what was sent once stays as it was.
func shorten(messages []llm.Message, s step) (shorter []llm.Message, saved int) {
	shorter = append(shorter, messages...)
	for i := 1; i < len(messages)-s.spared; i++ {
		parts := make([]llm.Part, len(messages[i].Parts))
		for j, part := range messages[i].Parts {
			cut, n := shortened(part, s)
			parts[j], saved = cut, saved+n
		}
		shorter[i].Parts = parts
	}
	return shorter, saved
}

func shortened(p llm.Part, s step) (llm.Part, int) {
	switch {
	case p.ToolResult != nil:
		r := *p.ToolResult
		r.Content = ends(r.Content, s.results)
		saved := len(p.ToolResult.Content) - len(r.Content)
		p.ToolResult = &r
		return p, saved
	case p.ToolCall != nil && len(p.ToolCall.Arguments) > s.arguments:
		c := *p.ToolCall
		c.Arguments = shorterArguments(c.Arguments, s.arguments/4)
		saved := len(p.ToolCall.Arguments) - len(c.Arguments)
		p.ToolCall = &c
		return p, saved
	}
	return p, 0
}

// noteBytes is more than the note takes that says what was left out: what was shortened once is not shortened again.
const noteBytes = 120

// ends keeps both ends of a text that is much longer than most.
func ends(text string, most int) string {
	if len(text) <= most+noteBytes {
		return text
	}
	head, tail := prefix(text, most*3/4), suffix(text, most/4)
	return fmt.Sprintf("%s\n[... %d bytes of an older result were left out to save room ...]\n%s", head, len(text)-len(head)-len(tail), tail)
}

// shorterArguments cuts the texts among arguments, which stay a JSON object with the same names.
func shorterArguments(raw json.RawMessage, most int) json.RawMessage {
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil {
		return raw
	}
	for name, value := range object {
		var text string
		if json.Unmarshal(value, &text) != nil || len(text) <= most {
			continue
		}
		if cut, err := json.Marshal(ends(text, most)); err == nil {
			object[name] = cut
		}
	}
	short, err := json.Marshal(object) // sorts the names, so that the same always becomes the same
	if err != nil || len(short) >= len(raw) {
		return raw
	}
	return short
}
