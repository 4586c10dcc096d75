package plugintest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// Prompts of the LLM suite. Behind the provider, the author's test double of its upstream answers them as is said here; which
// words it uses beyond that does not matter.
const (
	// LLMSay is answered with a text that holds LLMWord, and no tool call.
	LLMSay = "plugintest: say the word"
	// LLMCall is answered with a call of the tool LLMTool, with the argument "value" a string. The result of the tool is
	// answered with a text that holds it.
	LLMCall = "plugintest: call the tool"
	// LLMCallTwice is answered with two calls in one turn, and their results with a text that holds both.
	LLMCallTwice = "plugintest: call the tool twice"
	// LLMHang is never answered.
	LLMHang = "plugintest: hang"
	// LLMFail is refused because of its credential.
	LLMFail = "plugintest: fail"

	LLMWord = "pong"
	LLMTool = "probe"
)

// LLMOptions says what the suite cannot find out by itself.
type LLMOptions struct {
	// Opaque says that the answer to LLMCall carries opaque state, which the double demands back in its place.
	Opaque bool
	// Transcript is what the provider's command-line agent prints in a run that succeeds, with at least one tool call. It is
	// needed for mode a.
	Transcript []string
}

// LLM holds a provider against its contract. open returns a configured one, and cleans up after it with t.Cleanup.
func LLM(t *testing.T, open func(t *testing.T) llm.LLM, opt LLMOptions) {
	model := open(t)
	d, err := model.Describe(caseContext(t))
	if err != nil {
		t.Fatalf("describe: %v", err)
	}
	run := func(name string, f func(s *llmSession)) {
		t.Run(name, func(t *testing.T) {
			f(&llmSession{T: t, ctx: caseContext(t), llm: model, opt: opt, description: d})
		})
	}
	run("describe", describeIsConsistent)
	if d.Native {
		run("native", func(s *llmSession) { s.all(nativeCases) })
	} else {
		run("native/declined", nativeIsDeclined)
	}
	if d.CLI {
		run("cli", func(s *llmSession) { s.all(cliCases) })
	} else {
		run("cli/declined", cliIsDeclined)
	}
}

// llmSession is one case with its provider.
type llmSession struct {
	*testing.T
	ctx         context.Context
	llm         llm.LLM
	opt         LLMOptions
	description llm.Description
}

type llmCase struct {
	name string
	run  func(s *llmSession)
}

func (s *llmSession) all(cases []llmCase) {
	for _, c := range cases {
		s.Run(c.name, func(t *testing.T) {
			one := *s
			one.T, one.ctx = t, caseContext(t)
			c.run(&one)
		})
	}
}

func describeIsConsistent(s *llmSession) {
	again, err := s.llm.Describe(s.ctx)
	if err != nil || !reflect.DeepEqual(again, s.description) {
		s.Errorf("described a second time: %+v, %v; at first: %+v", again, err, s.description)
	}
	d := s.description
	if !d.CLI && !d.Native {
		s.Error("it has no mode")
	}
	if d.Dialect == "" {
		s.Error("the dialect is empty")
	}
	ids := map[string]bool{}
	for _, m := range d.Models {
		if m.ID == "" || ids[m.ID] {
			s.Errorf("the model id %q is empty or there twice", m.ID)
		}
		ids[m.ID] = true
	}
	if len(d.Models) > 0 && d.DefaultModel != "" && !ids[d.DefaultModel] {
		s.Errorf("the default model %q is not among the models", d.DefaultModel)
	}
}

func nativeIsDeclined(s *llmSession) {
	if _, err := s.llm.Complete(s.ctx, conversation("declined", LLMSay), nil); !errors.Is(err, errdef.ErrUnsupported) {
		s.Errorf("complete: %v", err)
	}
}

func cliIsDeclined(s *llmSession) {
	if _, err := s.llm.PlanCLI(s.ctx, llm.CLIRequest{Prompt: "x"}); !errors.Is(err, errdef.ErrUnsupported) {
		s.Errorf("plan: %v", err)
	}
	parser, err := s.llm.ParseCLI(s.ctx)
	if err == nil { // over the wire, the answer comes with the first line
		_, err = parser.Line([]byte("x"))
	}
	if !errors.Is(err, errdef.ErrUnsupported) {
		s.Errorf("parse: %v", err)
	}
}

// conversation starts one; id must be unique in a suite.
func conversation(id, prompt string) llm.Request {
	return llm.Request{
		Conversation: "plugintest/" + id,
		System:       "You are tested.",
		Messages:     []llm.Message{{Role: llm.User, Parts: []llm.Part{{Text: prompt}}}},
		Tools: []llm.Tool{{
			Name: LLMTool, Description: "Returns a value.",
			InputSchema: json.RawMessage(`{"type":"object","properties":{"value":{"type":"string"}},"required":["value"],"additionalProperties":false}`),
		}},
	}
}

// answered adds a turn and the results of its calls.
func answered(req llm.Request, turn llm.Turn, result func(i int) string) llm.Request {
	reply := llm.Message{Role: llm.User}
	for i, c := range callsOf(turn) {
		reply.Parts = append(reply.Parts, llm.Part{ToolResult: &llm.ToolResult{CallID: c.ID, Content: result(i)}})
	}
	req.Messages = append(append([]llm.Message(nil), req.Messages...), turn.Message, reply)
	return req
}

func callsOf(turn llm.Turn) []llm.ToolCall {
	var calls []llm.ToolCall
	for _, p := range turn.Message.Parts {
		if p.ToolCall != nil {
			calls = append(calls, *p.ToolCall)
		}
	}
	return calls
}

func textOf(turn llm.Turn) string {
	var b strings.Builder
	for _, p := range turn.Message.Parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

func (s *llmSession) complete(req llm.Request, progress func(llm.Progress) error) llm.Turn {
	s.Helper()
	turn, err := s.llm.Complete(s.ctx, req, progress)
	if err != nil {
		s.Fatalf("complete: %v", err)
	}
	if turn.Message.Role != llm.Assistant {
		s.Errorf("the turn is spoken by %q", turn.Message.Role)
	}
	return turn
}

// callTool goes through LLMCall or LLMCallTwice with results that nobody else has.
func (s *llmSession) callTool(id, prompt string, want int) {
	s.Helper()
	req := conversation(id, prompt)
	turn := s.complete(req, nil)
	calls := callsOf(turn)
	if len(calls) != want || turn.StopReason != llm.ToolUse {
		s.Fatalf("%d calls, stopped by %q, want %d and %q", len(calls), turn.StopReason, want, llm.ToolUse)
	}
	ids := map[string]bool{}
	for _, c := range calls {
		var arguments struct{ Value *string }
		if err := json.Unmarshal(c.Arguments, &arguments); err != nil || arguments.Value == nil || c.Name != LLMTool || c.ID == "" || ids[c.ID] {
			s.Errorf("call %+v: %v", c, err)
		}
		ids[c.ID] = true
	}
	value := func(i int) string { return fmt.Sprintf("value-%s-%d", strings.ReplaceAll(id, " ", "-"), i) }
	final := s.complete(answered(req, turn, value), nil)
	for i := range calls {
		if !strings.Contains(textOf(final), value(i)) {
			s.Errorf("the answer %q does not hold the result %q", textOf(final), value(i))
		}
	}
	if len(callsOf(final)) > 0 || final.StopReason != llm.EndTurn {
		s.Errorf("the answer is not the end: %+v", final)
	}
}

var nativeCases = []llmCase{
	{"text", func(s *llmSession) {
		var pieces strings.Builder
		turn := s.complete(conversation("text", LLMSay), func(p llm.Progress) error {
			if (p.Delta == nil) == (p.Retry == nil) {
				s.Errorf("progress of both kinds or none: %+v", p)
			}
			if p.Delta != nil && !p.Delta.Thinking {
				pieces.WriteString(p.Delta.Text)
			}
			return nil
		})
		if !strings.Contains(textOf(turn), LLMWord) || len(callsOf(turn)) > 0 || turn.StopReason != llm.EndTurn {
			s.Errorf("turn %+v", turn)
		}
		if pieces.Len() > 0 && pieces.String() != textOf(turn) {
			s.Errorf("the pieces read %q, the text %q", pieces.String(), textOf(turn))
		}
	}},
	{"usage and model are told", func(s *llmSession) {
		turn := s.complete(conversation("usage", LLMSay), nil)
		if turn.Model == "" || turn.Usage.InputTokens == 0 || turn.Usage.OutputTokens == 0 {
			s.Errorf("model %q, usage %+v", turn.Model, turn.Usage)
		}
	}},
	{"tool", func(s *llmSession) { s.callTool("tool", LLMCall, 1) }},
	{"two tools in one turn", func(s *llmSession) { s.callTool("two", LLMCallTwice, 2) }},
	{"opaque state", func(s *llmSession) {
		turn := s.complete(conversation("opaque", LLMCall), nil)
		found := false
		for _, p := range turn.Message.Parts {
			found = found || p.Opaque != nil
		}
		if found != s.opt.Opaque {
			s.Errorf("opaque state: %v, the options say %v", found, s.opt.Opaque)
		}
		if !found {
			return
		}
		lost := turn
		lost.Message.Parts = nil
		for _, p := range turn.Message.Parts {
			if p.Opaque == nil {
				lost.Message.Parts = append(lost.Message.Parts, p)
			}
		}
		req := answered(conversation("opaque", LLMCall), lost, func(int) string { return "x" })
		if _, err := s.llm.Complete(s.ctx, req, nil); err == nil {
			s.Error("the double does not miss the state, so that this suite cannot tell whether it comes back")
		}
	}},
	{"results of every kind are taken", func(s *llmSession) {
		req := conversation("odd results", LLMCall)
		turn := s.complete(req, nil)
		for _, content := range []string{"", "\x00\xff\xfe", strings.Repeat("é", 20_000), `{"json": [1, 2]}`} {
			next := answered(req, turn, func(int) string { return content })
			next.Messages[2].Parts[0].ToolResult.Error = true
			if _, err := s.llm.Complete(s.ctx, next, nil); err != nil {
				s.Errorf("result %.20q: %v", content, err)
			}
		}
	}},
	{"an error of progress ends the call", func(s *llmSession) {
		enough, told := errors.New("enough"), false
		_, err := s.llm.Complete(s.ctx, conversation("progress", LLMSay), func(llm.Progress) error { told = true; return enough })
		if told != errors.Is(err, enough) {
			s.Errorf("progress called: %v, error: %v", told, err)
		}
	}},
	{"cancel", func(s *llmSession) {
		for range 3 {
			ctx, cancel := context.WithCancel(s.ctx)
			go cancel()
			if _, err := s.llm.Complete(ctx, conversation("hang", LLMHang), nil); !errors.Is(err, context.Canceled) {
				s.Errorf("got %v", err)
			}
		}
		s.complete(conversation("after cancel", LLMSay), nil)
	}},
	{"errors have their kind", func(s *llmSession) {
		if _, err := s.llm.Complete(s.ctx, conversation("fail", LLMFail), nil); !errors.Is(err, errdef.ErrUnauthenticated) || err.Error() == "" {
			s.Errorf("a refused credential: %v", err)
		}
		if _, err := s.llm.Complete(s.ctx, llm.Request{Conversation: "empty"}, nil); !errors.Is(err, errdef.ErrInvalid) {
			s.Errorf("an empty conversation: %v", err)
		}
	}},
	{"many conversations at once", func(s *llmSession) {
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				// FailNow may be called from the test's own goroutine only, so that each conversation is a test.
				s.Run(fmt.Sprint(i), func(t *testing.T) {
					one := *s
					one.T = t
					one.callTool(fmt.Sprint("many ", i), LLMCall, 1)
				})
			})
		}
		all.Wait()
	}},
}
