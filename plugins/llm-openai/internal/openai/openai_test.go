package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/modelserver/modeltest"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/plugintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "sk-canary-4711"

// open serves the plugin over gRPC within this process, with a block that asks the server at url.
func open(t *testing.T, url, api string, block map[string]any) llm.LLM {
	t.Helper()
	all := map[string]any{"base_url": url, "api": api, "api_key": canary}
	for name, value := range block {
		all[name] = value
	}
	config, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	m := &Model{backoff: time.Millisecond}
	t.Cleanup(m.close)
	return llm.NewClient(sdk.TestConn(t, m.plugin(), string(config)))
}

func eachAPI(t *testing.T, test func(t *testing.T, api string)) {
	for _, api := range []string{apiChat, apiResponses} {
		t.Run(api, func(t *testing.T) { test(t, api) })
	}
}

// named fills in a model, since a server of somebody else's has no default.
type named struct{ llm.LLM }

func (n named) Complete(ctx context.Context, req llm.Request, progress func(llm.Progress) error) (llm.Turn, error) {
	req.Model = "test-model"
	return n.LLM.Complete(ctx, req, progress)
}

func (n named) PlanCLI(ctx context.Context, req llm.CLIRequest) (llm.CLIPlan, error) {
	req.Model = "test-model"
	return n.LLM.PlanCLI(ctx, req)
}

func TestContract(t *testing.T) {
	text, err := os.ReadFile("../codex/testdata/codex-tool-turn.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	transcript := strings.Split(strings.TrimSpace(string(text)), "\n")
	eachAPI(t, func(t *testing.T, api string) {
		for name, thinking := range map[string]string{"plain": "", "thinking": "I should call it."} {
			t.Run(name, func(t *testing.T) {
				_, url := modeltest.Serve(t, modelserver.Config{Rules: modeltest.Conformance(thinking), Key: canary})
				plugintest.LLM(t, func(t *testing.T) llm.LLM { return named{open(t, url, api, nil)} },
					plugintest.LLMOptions{Opaque: thinking != "" && api == apiResponses, Transcript: transcript})
			})
		}
	})
}

func ask(prompt string) llm.Request {
	return llm.Request{Conversation: "c", Model: "m", Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Text: prompt}}}}}
}

func textOf(turn llm.Turn) string {
	var b strings.Builder
	for _, p := range turn.Message.Parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

func TestStreamsInAnyPieces(t *testing.T) {
	const said = "Grüße, 世界 🚀 – e\u0301"
	eachAPI(t, func(t *testing.T, api string) {
		s, url := modeltest.Serve(t, modelserver.Config{Rules: []modelserver.Rule{
			{Match: "say", Say: said, Thinking: "hm 🤔"}, {Match: "call", Call: "bash", Arguments: `{"command": "echo ` + said + `"}`, Times: 2},
		}})
		model := open(t, url, api, nil)
		for piece := 1; piece < 30; piece++ {
			eol := []string{"\n", "\r\n", "\r"}[piece%3]
			s.Fail(&modelserver.Fault{Piece: piece, EOL: eol, Comments: piece%2 == 0}, &modelserver.Fault{Piece: piece, EOL: eol})
			var pieces, thought strings.Builder
			turn, err := model.Complete(t.Context(), ask("say"), func(p llm.Progress) error {
				if p.Delta.Thinking {
					thought.WriteString(p.Delta.Text)
				} else {
					pieces.WriteString(p.Delta.Text)
				}
				return nil
			})
			if err != nil || textOf(turn) != said || pieces.String() != said || thought.String() != "hm 🤔" {
				t.Fatalf("in pieces of %d, lines ending in %q: %q, %v, pieces %q", piece, eol, textOf(turn), err, pieces.String())
			}
			turn, err = model.Complete(t.Context(), ask("call"), nil)
			if err != nil || len(turn.Message.Parts) != 2 || string(turn.Message.Parts[1].ToolCall.Arguments) != `{"command": "echo `+said+`"}` {
				t.Fatalf("in pieces of %d: %+v, %v", piece, turn, err)
			}
		}
	})
}

func TestLargeTurnInvalidUTF8AndBadArguments(t *testing.T) {
	long := strings.Repeat("é", 1<<19)
	eachAPI(t, func(t *testing.T, api string) {
		s, url := modeltest.Serve(t, modelserver.Config{Rules: []modelserver.Rule{
			{Match: "^say", Say: long}, {Match: "^call", Call: "write", Arguments: `{"content": "` + long + `"}`}, {Match: "^short", Say: "short"},
			{Match: "^bad", Call: "bash", Arguments: `{"command": "ls`, Raw: true}, {Tool: "bash", Match: "", Say: "done"},
		}})
		model := open(t, url, api, nil)
		turn, err := model.Complete(t.Context(), ask("say"), nil)
		if err != nil || textOf(turn) != long {
			t.Errorf("a text of 1 MB: %d bytes, %v", len(textOf(turn)), err)
		}
		turn, err = model.Complete(t.Context(), ask("call"), nil)
		if err != nil || len(turn.Message.Parts[0].ToolCall.Arguments) != len(long)+15 {
			t.Errorf("arguments of 1 MB: %v", err)
		}
		s.Fail(&modelserver.Fault{InvalidUTF8: true})
		if turn, err = model.Complete(t.Context(), ask("short"), nil); err != nil || textOf(turn) != "short\uFFFD" {
			t.Errorf("invalid UTF-8: %q, %v", textOf(turn), err)
		}
		req := ask("bad")
		if turn, err = model.Complete(t.Context(), req, nil); err != nil || string(turn.Message.Parts[0].ToolCall.Arguments) != `{"command": "ls` {
			t.Fatalf("bad arguments: %+v, %v", turn, err)
		}
		result := llm.Part{ToolResult: &llm.ToolResult{CallID: turn.Message.Parts[0].ToolCall.ID, Content: "no JSON", Error: true}}
		req.Messages = append(req.Messages, turn.Message, llm.Message{Role: llm.User, Parts: []llm.Part{result}})
		if turn, err = model.Complete(t.Context(), req, nil); err != nil || textOf(turn) != "done" {
			t.Errorf("after bad arguments: %+v, %v", turn, err)
		}
	})
}

func TestFaults(t *testing.T) {
	eachAPI(t, func(t *testing.T, api string) {
		for name, c := range map[string]struct {
			fault   *modelserver.Fault // of every request
			kind    error
			retries int
			want    []string // in the message or the remedy
		}{
			"401":                {&modelserver.Fault{Status: 401}, errdef.ErrUnauthenticated, 0, []string{"status 401", "api_key"}},
			"403":                {&modelserver.Fault{Status: 403}, errdef.ErrPermission, 0, []string{"status 403", "allowed"}},
			"429":                {&modelserver.Fault{Status: 429, RetryAfter: "0"}, errdef.ErrExhausted, 2, []string{"429", "after 3 attempts"}},
			"429 of no money":    {&modelserver.Fault{Status: 429, Body: `{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}`}, errdef.ErrExhausted, 0, []string{"quota", "pay in"}},
			"429 for an hour":    {&modelserver.Fault{Status: 429, RetryAfter: "3600"}, errdef.ErrExhausted, 0, []string{"wait 1h0m0s"}},
			"400 of a long talk": {&modelserver.Fault{Status: 400, Body: `{"error":{"message":"too many","code":"context_length_exceeded"}}`}, errdef.ErrExhausted, 0, []string{"larger context"}},
			"422 of a stranger":  {&modelserver.Fault{Status: 422, Body: `{"detail":"max_tokens too large"}`}, errdef.ErrInvalid, 0, []string{"max_tokens too large"}},
			"500":                {&modelserver.Fault{Status: 500}, errdef.ErrUnavailable, 2, []string{"status 500"}},
			"503":                {&modelserver.Fault{Status: 503}, errdef.ErrUnavailable, 2, []string{"status 503"}},
			"error as an event":  {&modelserver.Fault{Error: true}, errdef.ErrUnavailable, 2, []string{"Overloaded"}},
			"cut in an event":    {&modelserver.Fault{CutAfter: 700}, errdef.ErrUnavailable, 2, []string{"breaks off"}},
			"ends too early":     {&modelserver.Fault{Body: "data: {\"choices\":[]}\n\n"}, errdef.ErrUnavailable, 2, []string{"breaks off"}},
			"no JSON":            {&modelserver.Fault{Body: "data: {oops\n\n"}, errdef.ErrDataLoss, 0, []string{"no JSON", "base_url"}},
			"the key in it":      {&modelserver.Fault{Status: 400, Body: `{"error":"you sent ` + canary + `"}`}, errdef.ErrInvalid, 0, []string{"you sent [key]"}},
			"hangs":              {&modelserver.Fault{Hang: true}, errdef.ErrUnavailable, 0, []string{"nothing for", "idle_timeout"}},
			"hangs in mid-event": {&modelserver.Fault{HangAfter: 300}, errdef.ErrUnavailable, 0, []string{"nothing for"}},
		} {
			t.Run(name, func(t *testing.T) {
				s, url := modeltest.Serve(t, modelserver.Config{Rules: []modelserver.Rule{{Match: "", Say: strings.Repeat("word ", 100)}}})
				s.FailAlways(c.fault)
				block := map[string]any{"max_retries": 2, "idle_timeout": "10m"}
				if c.fault.Hang || c.fault.HangAfter > 0 {
					block["idle_timeout"] = "50ms"
				}
				retries := 0
				_, err := open(t, url, api, block).Complete(t.Context(), ask("p"), func(p llm.Progress) error {
					if p.Retry != nil {
						retries++
					}
					return nil
				})
				said := fmt.Sprint(err, " – ", errdef.Remedy(err))
				if !errors.Is(err, c.kind) || errdef.Remedy(err) == "" || retries != c.retries {
					t.Errorf("%d retries, then %q, want %v", retries, said, c.kind)
				}
				for _, want := range c.want {
					if !strings.Contains(said, want) {
						t.Errorf("%q lacks %q", said, want)
					}
				}
				if strings.Contains(said, canary) {
					t.Errorf("the key stands in %q", said)
				}
			})
		}
	})
}

func TestModelsOfAnotherServer(t *testing.T) {
	eachAPI(t, func(t *testing.T, api string) {
		_, url := modeltest.Serve(t, modelserver.Config{Models: []modelserver.Model{{Name: "qwen-a"}, {Name: "qwen-b"}}})
		model := open(t, url, api, nil)
		for name, kind := range map[string]error{"": errdef.ErrInvalid, "qwen-z": errdef.ErrNotFound} {
			req := ask("p")
			req.Model = name
			if _, err := model.Complete(t.Context(), req, nil); !errors.Is(err, kind) || !strings.Contains(errdef.Remedy(err), "the server has qwen-a, qwen-b") {
				t.Errorf("model %q: %v – %s", name, err, errdef.Remedy(err))
			}
		}
	})
}

func TestUsageCountsTheCacheApart(t *testing.T) {
	eachAPI(t, func(t *testing.T, api string) {
		_, url := modeltest.Serve(t, modelserver.Config{Rules: []modelserver.Rule{
			{Match: "", Say: "x", Usage: modelserver.Usage{InputTokens: 10, OutputTokens: 20, CacheReadTokens: 30}},
		}})
		turn, err := open(t, url, api, nil).Complete(t.Context(), ask("p"), nil)
		if err != nil || turn.Usage != (llm.Usage{InputTokens: 10, OutputTokens: 20, CacheReadTokens: 30}) {
			t.Errorf("%+v, %v", turn.Usage, err)
		}
	})
}

// dialect serves one stream to whoever asks, and returns what it was asked last.
func dialect(t *testing.T, stream string) (url string, asked func() string) {
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		io.WriteString(w, stream)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() string { return string(body) }
}

// Servers that copy Chat Completions, each in its own way.
func TestDialects(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		calls  []string
		text   string
		stop   llm.StopReason
		cost   float64
	}{
		"no index, arguments at once": {stream: `data: {"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}]}}]}` + "\n\n" +
			`data: {"choices":[{"delta":{"tool_calls":[{"id":"b","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n",
			calls: []string{`a f {"x":1}`, `b g {}`}, stop: llm.ToolUse},
		"no id, arguments as an object": {stream: `data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":{"x":1}}}]},"finish_reason":"tool_calls"}]}` + "\n\n",
			calls: []string{`call_1_0 f {"x":1}`}, stop: llm.ToolUse},
		"index from one, in turns": {stream: `data: {"choices":[{"delta":{"tool_calls":[{"index":1,"id":"a","function":{"name":"f","arguments":"{"}},{"index":2,"id":"b","function":{"name":"g"}}]}}]}` + "\n\n" +
			`data: {"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"}"}}]}}]}` + "\n\n" + `data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}` + "\n\n",
			calls: []string{`a f {}`, `b g {}`}, stop: llm.ToolUse},
		"nulls and odd types": {stream: `data: {"choices":[{"delta":{"content":null,"tool_calls":null,"role":7}}],"usage":null,"error":null}` + "\n\n" +
			`data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"length"}]}` + "\n\n", text: "hi", stop: llm.MaxTokens},
		"a cost": {stream: `data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}` + "\n\n" +
			`data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"cost":0.25}}` + "\n\ndata: [DONE]\n\n", text: "hi", stop: llm.EndTurn, cost: 0.25},
		"a refusal": {stream: `data: {"choices":[{"delta":{"refusal":"no"},"finish_reason":"stop"}]}` + "\n\n", text: "no", stop: llm.Refusal},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := dialect(t, c.stream)
			turn, err := open(t, url, apiChat, nil).Complete(t.Context(), ask("p"), nil)
			if err != nil {
				t.Fatal(err)
			}
			var calls []string
			for _, p := range turn.Message.Parts {
				if p.ToolCall != nil {
					calls = append(calls, fmt.Sprintf("%s %s %s", p.ToolCall.ID, p.ToolCall.Name, p.ToolCall.Arguments))
				}
			}
			if fmt.Sprint(calls) != fmt.Sprint(c.calls) || textOf(turn) != c.text || turn.StopReason != c.stop || turn.Usage.CostUSD != c.cost {
				t.Errorf("calls %q, text %q, stop %s, usage %+v", calls, textOf(turn), turn.StopReason, turn.Usage)
			}
		})
	}
}

func TestReasoningDetailsGoBack(t *testing.T) {
	url, asked := dialect(t, `data: {"choices":[{"delta":{"reasoning":"hm","reasoning_details":[{"type":"reasoning.encrypted","data":"xyz"}],"content":"hi"},"finish_reason":"stop"}]}`+"\n\n")
	model := open(t, url, apiChat, nil)
	req := ask("p")
	turn, err := model.Complete(t.Context(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Messages = append(req.Messages, turn.Message, req.Messages[0])
	if _, err := model.Complete(t.Context(), req, nil); err != nil || !strings.Contains(asked(), `"reasoning_details":[{"type":"reasoning.encrypted","data":"xyz"}]`) {
		t.Errorf("%v, asked %s", err, asked())
	}
}

func TestLimits(t *testing.T) {
	for name, c := range map[string]struct{ url, api, want string }{
		"chat elsewhere":      {"http://h", apiChat, `"max_tokens":77`},
		"chat at OpenAI":      {home, apiChat, `"max_completion_tokens":77`},
		"responses at OpenAI": {"https://api.openai.com", "", `"max_output_tokens":77`},
	} {
		m := &Model{}
		config, _ := json.Marshal(map[string]any{"base_url": c.url, "api": c.api, "api_key": "k", "max_tokens": 77, "effort": "low"})
		if err := m.Configure(t.Context(), base.Config{JSON: config}); err != nil {
			t.Fatal(err)
		}
		encode := m.encodeChat
		if m.api == apiResponses {
			encode = m.encodeResponses
		}
		body, err := encode(ask("p"))
		if err != nil || !strings.Contains(string(body), c.want) || !strings.Contains(string(body), `"low"`) {
			t.Errorf("%s: %s, %v", name, body, err)
		}
	}
}

func TestBadBlocks(t *testing.T) {
	for want, block := range map[string]string{
		"OPENAI_API_KEY":          `{}`,
		"not the URL":             `{"base_url": "localhost"}`,
		"white space":             `{"api_key": "a b"}`,
		"chat or responses":       `{"api_key": "x", "api": "soap"}`,
		"1 or more":               `{"api_key": "x", "max_tokens": -1}`,
		"a key belongs into":      `{"api_key": "x", "headers": {"Authorization": "Bearer y"}}`,
		"between 0 and 20":        `{"api_key": "x", "max_retries": -1}`,
		"a time such as 90s":      `{"api_key": "x", "idle_timeout": "-1s"}`,
		"neither user, query nor": `{"base_url": "http://h/v1?key=x"}`,
	} {
		err := Plugin().Configure(t.Context(), base.Config{JSON: []byte(block)})
		var diags base.Diagnostics
		if !errors.As(err, &diags) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
