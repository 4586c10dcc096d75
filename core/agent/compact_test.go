package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/voidbox-run/voidbox/internal/testllm"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

var tooLong = errdef.New(errdef.ErrExhausted, "the prompt is too long").WithReason(reasonContext).WithRemedy("a smaller task")

func size(messages []llm.Message) (n int) {
	for _, m := range messages {
		for _, p := range m.Parts {
			n += len(p.Text)
			if p.ToolResult != nil {
				n += len(p.ToolResult.Content)
			}
			if p.ToolCall != nil {
				n += len(p.ToolCall.Arguments)
			}
		}
	}
	return n
}

// shortSighted is a model that reads so many bytes, and reads a large file turns times.
func shortSighted(most, turns int) *testllm.LLM {
	return &testllm.LLM{Turn: func(_ context.Context, r llm.Request, _ func(llm.Progress) error) (llm.Turn, error) {
		if size(r.Messages) > most {
			return llm.Turn{}, tooLong
		}
		if n := len(r.Messages) / 2; n < turns {
			return testllm.Call("bash", args("command", fmt.Sprintf("echo start %d; head -c 8000 /dev/zero | tr '\\0' x; echo end %d", n, n))), nil
		}
		return testllm.Say("done"), nil
	}}
}

func TestAConversationThatIsRefusedForItsLengthIsShortened(t *testing.T) {
	b := newBench(t, shortSighted(30_000, 10))
	if report := b.succeed(); report.Turns != 11 {
		t.Errorf("%+v", report)
	}
	requests := b.llm.Requests()
	last := requests[len(requests)-1].Messages
	if last[0].Parts[0].Text != "do it" || len(last) != 21 {
		t.Errorf("the prompt is %+v, of %d messages", last[0], len(last))
	}
	if got := last[20].Parts[0].ToolResult.Content; len(got) < 8000 {
		t.Errorf("the last result has %d bytes", len(got))
	}
	old := last[2].Parts[0].ToolResult.Content
	if !strings.HasPrefix(old, "start 0\n") || !strings.HasSuffix(old, "end 0\n") || !strings.Contains(old, "left out to save room") || len(old) > 1100 {
		t.Errorf("the first result: %d bytes, %.50q", len(old), old)
	}
	if got := b.warnings(); !strings.Contains(got, "the conversation nears what the model can read") {
		t.Errorf("warnings %q", got)
	}
}

func TestAConversationThatNearsTheLimitIsShortenedBefore(t *testing.T) {
	model := shortSighted(1<<30, 10)
	model.Description = &llm.Description{Native: true, DefaultModel: "test", Models: []llm.Model{{ID: "test", Tools: true, ContextTokens: 8000}}}
	inner := model.Turn
	most := 0
	model.Turn = func(ctx context.Context, r llm.Request, p func(llm.Progress) error) (llm.Turn, error) {
		turn, err := inner(ctx, r, p)
		most = max(most, size(r.Messages)/4)
		turn.Usage.InputTokens = uint64(size(r.Messages) / 4)
		return turn, err
	}
	b := newBench(t, model)
	b.succeed()
	if most > 8000 {
		t.Errorf("a request had %d tokens", most)
	}
	if got := b.warnings(); !strings.Contains(got, "nears the 8000 tokens that the model can read") {
		t.Errorf("warnings %q", got)
	}
}

func TestAConversationThatCannotBeShortenedEndsTheRun(t *testing.T) {
	b := newBench(t, shortSighted(100, 10))
	_, err := b.run(t.Context())
	var model *ModelError
	if !errors.As(err, &model) || !errors.Is(err, errdef.ErrExhausted) || errdef.Remedy(err) != "a smaller task" {
		t.Errorf("%v: %s", err, errdef.Remedy(err))
	}
	if n := len(b.llm.Requests()); n > 1+2*len(steps) {
		t.Errorf("asked %d times", n)
	}
}

func TestShortening(t *testing.T) {
	long := strings.Repeat("é", 5000)
	arguments, _ := json.Marshal(map[string]any{"path": "/x", "content": long, "n": 1})
	messages := []llm.Message{
		{Role: llm.User, Parts: []llm.Part{{Text: long}}},
		{Role: llm.Assistant, Parts: []llm.Part{{Text: long}, {Opaque: []byte(long)}, {ToolCall: &llm.ToolCall{ID: "1", Name: "write", Arguments: arguments}}}},
		{Role: llm.User, Parts: []llm.Part{{ToolResult: &llm.ToolResult{CallID: "1", Content: long, Error: true}}}},
		{Role: llm.Assistant, Parts: []llm.Part{{Text: "x"}}},
		{Role: llm.User, Parts: []llm.Part{{ToolResult: &llm.ToolResult{CallID: "2", Content: long}}}},
	}
	before, _ := json.Marshal(messages)
	got, saved := shorten(messages, step{results: 201, arguments: 401, spared: 2})
	if after, _ := json.Marshal(messages); string(after) != string(before) {
		t.Error("the conversation that was sent has changed")
	}
	if !reflect.DeepEqual(got[0], messages[0]) || got[1].Parts[0].Text != long || string(got[1].Parts[1].Opaque) != long || !reflect.DeepEqual(got[3:], messages[3:]) {
		t.Error("what was to be spared has changed")
	}
	result := got[2].Parts[0].ToolResult
	if len(result.Content) > 201+noteBytes || !utf8.ValidString(result.Content) || !result.Error || result.CallID != "1" {
		t.Errorf("%+v", result)
	}
	var object map[string]any
	if err := json.Unmarshal(got[1].Parts[2].ToolCall.Arguments, &object); err != nil || object["path"] != "/x" || object["n"] != 1.0 || len(object["content"].(string)) > 220 {
		t.Errorf("%v: %v", err, object)
	}
	if saved < 15_000 {
		t.Errorf("saved %d bytes", saved)
	}
	if again, more := shorten(got, step{results: 201, arguments: 401, spared: 2}); more != 0 || !reflect.DeepEqual(again, got) {
		t.Errorf("a second time saves %d bytes", more)
	}
}
