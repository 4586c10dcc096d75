package claude

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/voidbox-run/voidbox/internal/modelhttp"
	"github.com/voidbox-run/voidbox/internal/sse"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// frame is an event of the stream; which fields are there depends on Type.
type frame struct {
	Type    string `json:"type"`
	Index   int    `json:"index"`
	Message struct {
		Model string `json:"model"`
		Usage usage  `json:"usage"`
	} `json:"message"`
	ContentBlock json.RawMessage `json:"content_block"`
	Delta        struct {
		Type        string `json:"type"`
		Text        string `json:"text"`
		PartialJSON string `json:"partial_json"`
		Thinking    string `json:"thinking"`
		Signature   string `json:"signature"`
		StopReason  string `json:"stop_reason"`
	} `json:"delta"`
	Usage *usage          `json:"usage"`
	Error json.RawMessage `json:"error"`
}

// usage counts tokens. Each report replaces what it names of the earlier ones.
type usage struct {
	Input      *uint64 `json:"input_tokens"`
	Output     *uint64 `json:"output_tokens"`
	CacheRead  *uint64 `json:"cache_read_input_tokens"`
	CacheWrite *uint64 `json:"cache_creation_input_tokens"`
}

func (u usage) into(total *llm.Usage) {
	for from, to := range map[*uint64]*uint64{
		u.Input: &total.InputTokens, u.Output: &total.OutputTokens, u.CacheRead: &total.CacheReadTokens, u.CacheWrite: &total.CacheWriteTokens,
	} {
		if from != nil {
			*to = *from
		}
	}
}

// reader returns a function that reads the stream into turn.
func (m *Model) reader(turn *llm.Turn, progress func(llm.Progress) error) func(io.Reader) error {
	return func(from io.Reader) error {
		a := &assembly{provider: m.name(), progress: progress, open: map[int]*openBlock{}}
		err := a.read(sse.NewReader(from, llm.MaxTurnBytes))
		*turn = a.turn
		return err
	}
}

// assembly puts a turn together.
type assembly struct {
	provider string
	progress func(llm.Progress) error
	turn     llm.Turn
	stop     string
	ended    bool
	size     int
	open     map[int]*openBlock // by index
}

// openBlock is a content block between its start and its stop.
type openBlock struct {
	Type      string `json:"type"`
	Text      string `json:"text"`
	ID        string `json:"id"`
	Name      string `json:"name"`
	raw       json.RawMessage
	text      strings.Builder // of text, thinking or arguments
	signature strings.Builder
	part      int // where it stands in the message
}

func (a *assembly) read(events *sse.Reader) error {
	a.turn.Message.Role = llm.Assistant
	for !a.ended {
		e, err := events.Next()
		if errors.Is(err, sse.ErrTooLong) {
			return errdef.New(errdef.ErrDataLoss, "%s: %w", a.provider, err)
		}
		if err != nil {
			return &modelhttp.Transient{Err: fmt.Errorf("the answer of %s breaks off: %w", a.provider, err)}
		}
		var f frame
		if err := json.Unmarshal(e.Data, &f); err != nil {
			return errdef.New(errdef.ErrDataLoss, "%s sends an event that is no JSON: %w", a.provider, err).
				WithRemedy("check that base_url names a server that speaks the Messages API")
		}
		if a.size += len(e.Data); a.size > 4*llm.MaxTurnBytes {
			return errdef.New(errdef.ErrDataLoss, "%s sends a turn that does not end", a.provider)
		}
		if err := a.take(f); err != nil {
			return err
		}
	}
	return a.finish()
}

func (a *assembly) take(f frame) error {
	switch f.Type {
	case "message_start":
		a.turn.Model = f.Message.Model
		f.Message.Usage.into(&a.turn.Usage)
	case "content_block_start":
		return a.start(f)
	case "content_block_delta":
		return a.delta(f)
	case "content_block_stop":
		return a.close(f.Index)
	case "message_delta":
		if f.Delta.StopReason != "" {
			a.stop = f.Delta.StopReason
		}
		if f.Usage != nil {
			f.Usage.into(&a.turn.Usage)
		}
	case "message_stop":
		a.ended = true
	case "error":
		return modelhttp.EventError(a.provider, a.turn.Model, f.Error)
	}
	return nil // pings, and what is not known yet
}

func (a *assembly) start(f frame) error {
	if len(a.turn.Message.Parts) >= llm.MaxParts {
		return errdef.New(errdef.ErrDataLoss, "%s sends a turn of more than %d blocks", a.provider, llm.MaxParts)
	}
	b := &openBlock{raw: append(json.RawMessage(nil), f.ContentBlock...), part: len(a.turn.Message.Parts)}
	if err := json.Unmarshal(f.ContentBlock, b); err != nil {
		return errdef.New(errdef.ErrDataLoss, "%s sends a block that is no JSON object: %w", a.provider, err)
	}
	a.open[f.Index] = b
	a.turn.Message.Parts = append(a.turn.Message.Parts, llm.Part{})
	if b.Type != "text" || b.Text == "" {
		return nil
	}
	b.text.WriteString(b.Text)
	return a.say(llm.Text{Text: b.Text, Partial: true})
}

func (a *assembly) delta(f frame) error {
	b := a.open[f.Index]
	if b == nil {
		return errdef.New(errdef.ErrDataLoss, "%s sends a piece of block %d, which is not open", a.provider, f.Index)
	}
	switch f.Delta.Type {
	case "text_delta":
		b.text.WriteString(f.Delta.Text)
		return a.say(llm.Text{Text: f.Delta.Text, Partial: true})
	case "thinking_delta":
		b.text.WriteString(f.Delta.Thinking)
		return a.say(llm.Text{Text: f.Delta.Thinking, Thinking: true, Partial: true})
	case "input_json_delta":
		b.text.WriteString(f.Delta.PartialJSON)
	case "signature_delta":
		b.signature.WriteString(f.Delta.Signature)
	}
	return nil
}

func (a *assembly) say(t llm.Text) error {
	if t.Text == "" {
		return nil
	}
	return a.progress(llm.Progress{Delta: &t})
}

// close makes a part of a block.
func (a *assembly) close(index int) error {
	b := a.open[index]
	if b == nil {
		return nil
	}
	delete(a.open, index)
	part := &a.turn.Message.Parts[b.part]
	switch b.Type {
	case "text":
		part.Text = b.text.String()
	case "tool_use":
		arguments := b.text.String()
		if arguments == "" {
			arguments = "{}"
		}
		part.ToolCall = &llm.ToolCall{ID: b.ID, Name: b.Name, Arguments: json.RawMessage(arguments)}
	case "thinking":
		opaque, err := json.Marshal(map[string]string{"type": b.Type, "thinking": b.text.String(), "signature": b.signature.String()})
		if err != nil {
			return err
		}
		part.Opaque = opaque
	default:
		part.Opaque = b.raw
	}
	return nil
}

var stops = map[string]llm.StopReason{
	"end_turn": llm.EndTurn, "stop_sequence": llm.EndTurn, "pause_turn": llm.EndTurn, "tool_use": llm.ToolUse,
	"max_tokens": llm.MaxTokens, "model_context_window_exceeded": llm.MaxTokens, "refusal": llm.Refusal,
}

// finish closes what the server left open and leaves out texts without a word.
func (a *assembly) finish() error {
	for index := range a.open {
		if err := a.close(index); err != nil {
			return err
		}
	}
	kept := a.turn.Message.Parts[:0]
	for _, part := range a.turn.Message.Parts {
		if part.Text != "" || part.ToolCall != nil || part.Opaque != nil {
			kept = append(kept, part)
		}
	}
	a.turn.Message.Parts = kept
	if a.turn.StopReason = stops[a.stop]; a.turn.StopReason == "" {
		a.turn.StopReason = llm.EndTurn
	}
	return nil
}
