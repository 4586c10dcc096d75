package claude

import (
	"encoding/json"
	"errors"
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

const canary = "sk-ant-canary-4711"

// open serves the plugin over gRPC within this process, with a block that asks the server at url.
func open(t *testing.T, url string, block map[string]any) llm.LLM {
	t.Helper()
	if block == nil {
		block = map[string]any{}
	}
	block["base_url"] = url
	if block["api_key"] == nil {
		block["api_key"] = canary
	}
	config, err := json.Marshal(block)
	if err != nil {
		t.Fatal(err)
	}
	m := &Model{backoff: time.Millisecond}
	t.Cleanup(m.close)
	return llm.NewClient(sdk.TestConn(t, m.plugin(), string(config)))
}

func transcript(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile("../../../../internal/claudecode/testdata/" + name + ".jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func TestContract(t *testing.T) {
	for name, thinking := range map[string]string{"plain": "", "thinking": "I should call it."} {
		t.Run(name, func(t *testing.T) {
			_, url := modeltest.Serve(t, modelserver.Config{Rules: modeltest.Conformance(thinking), Key: canary})
			plugintest.LLM(t, func(t *testing.T) llm.LLM { return open(t, url, nil) },
				plugintest.LLMOptions{Opaque: thinking != "", Transcript: transcript(t, "claude-tool-turn")})
		})
	}
}

func ask(prompt string) llm.Request {
	return llm.Request{Conversation: "c", Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Text: prompt}}}}}
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
	s, url := modeltest.Serve(t, modelserver.Config{Rules: []modelserver.Rule{
		{Match: "say", Say: said, Thinking: "hm 🤔"}, {Match: "call", Call: "bash", Arguments: `{"command": "echo ` + said + `"}`},
	}})
	model := open(t, url, nil)
	for piece := 1; piece < 40; piece++ {
		for _, eol := range []string{"\n", "\r\n", "\r"} {
			s.Fail(&modelserver.Fault{Piece: piece, EOL: eol, Comments: piece%2 == 0}, &modelserver.Fault{Piece: piece, EOL: eol})
			var pieces strings.Builder
			turn, err := model.Complete(t.Context(), ask("say"), func(p llm.Progress) error {
				if !p.Delta.Thinking {
					pieces.WriteString(p.Delta.Text)
				}
				return nil
			})
			if err != nil || textOf(turn) != said || pieces.String() != said {
				t.Fatalf("in pieces of %d, lines ending in %q: %q, %v, pieces %q", piece, eol, textOf(turn), err, pieces.String())
			}
			turn, err = model.Complete(t.Context(), ask("call"), nil)
			if err != nil || string(turn.Message.Parts[0].ToolCall.Arguments) != `{"command": "echo `+said+`"}` {
				t.Fatalf("in pieces of %d: %+v, %v", piece, turn, err)
			}
		}
	}
}

func TestLargeTurnAndInvalidUTF8(t *testing.T) {
	long := strings.Repeat("é", 1<<19)
	s, url := modeltest.Serve(t, modelserver.Config{Rules: []modelserver.Rule{
		{Match: "^say", Say: long}, {Match: "^call", Call: "write", Arguments: `{"content": "` + long + `"}`}, {Match: "^short", Say: "short"},
	}})
	model := open(t, url, nil)
	turn, err := model.Complete(t.Context(), ask("say"), nil)
	if err != nil || textOf(turn) != long {
		t.Errorf("a text of 1 MB: %d bytes, %v", len(textOf(turn)), err)
	}
	turn, err = model.Complete(t.Context(), ask("call"), nil)
	if err != nil || len(turn.Message.Parts[0].ToolCall.Arguments) != len(long)+15 {
		t.Errorf("arguments of 1 MB: %v", err)
	}
	s.Fail(&modelserver.Fault{InvalidUTF8: true})
	turn, err = model.Complete(t.Context(), ask("short"), nil)
	if err != nil || textOf(turn) != "short\uFFFD" {
		t.Errorf("invalid UTF-8: %q, %v", textOf(turn), err)
	}
}

func TestMalformedArgumentsComeThroughAndGoBack(t *testing.T) {
	s, url := modeltest.Serve(t, modelserver.Config{Rules: []modelserver.Rule{
		{Match: "go", Call: "bash", Arguments: `{"command": "ls`, Raw: true}, {Tool: "bash", Match: "", Say: "done"},
	}})
	model := open(t, url, nil)
	req := ask("go")
	turn, err := model.Complete(t.Context(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	call := turn.Message.Parts[0].ToolCall
	if string(call.Arguments) != `{"command": "ls` {
		t.Errorf("arguments %s", call.Arguments)
	}
	req.Messages = append(req.Messages, turn.Message, llm.Message{Role: llm.User, Parts: []llm.Part{
		{ToolResult: &llm.ToolResult{CallID: call.ID, Content: "your arguments are no JSON", Error: true}},
	}})
	if turn, err = model.Complete(t.Context(), req, nil); err != nil || textOf(turn) != "done" {
		t.Fatalf("%+v, %v", turn, err)
	}
	sent := s.Received()[1].Body
	if !strings.Contains(string(sent), `"unreadable_arguments":"{\"command\": \"ls"`) || !strings.Contains(string(sent), `"is_error":true`) {
		t.Errorf("sent %s", sent)
	}
}

func TestFaults(t *testing.T) {
	cut := &modelserver.Fault{CutAfter: 700}
	busy := &modelserver.Fault{Status: 529}
	for name, c := range map[string]struct {
		fault   *modelserver.Fault // of every request
		kind    error
		retries int
		want    []string // in the message or the remedy
	}{
		"401":                {&modelserver.Fault{Status: 401}, errdef.ErrUnauthenticated, 0, []string{"status 401", "api_key"}},
		"403":                {&modelserver.Fault{Status: 403}, errdef.ErrPermission, 0, []string{"status 403", "allowed"}},
		"404":                {&modelserver.Fault{Status: 404}, errdef.ErrNotFound, 0, []string{"claude-sonnet-5-5", "model's name"}},
		"400 of no money":    {&modelserver.Fault{Status: 400, Body: `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}`}, errdef.ErrExhausted, 0, []string{"credit balance", "pay in"}},
		"400 of a long talk": {&modelserver.Fault{Status: 400, Body: `{"error":{"type":"invalid_request_error","message":"prompt is too long: 200001 tokens"}}`}, errdef.ErrExhausted, 0, []string{"too long", "larger context"}},
		"429":                {&modelserver.Fault{Status: 429, RetryAfter: "0"}, errdef.ErrExhausted, 2, []string{"429", "after 3 attempts", "max_parallel"}},
		"429 for an hour":    {&modelserver.Fault{Status: 429, RetryAfter: "3600"}, errdef.ErrExhausted, 0, []string{"429", "wait 1h0m0s"}},
		"500":                {&modelserver.Fault{Status: 500}, errdef.ErrUnavailable, 2, []string{"status 500"}},
		"529":                {busy, errdef.ErrUnavailable, 2, []string{"status 529", "later"}},
		"529 as an event":    {&modelserver.Fault{Error: true}, errdef.ErrUnavailable, 2, []string{"Overloaded"}},
		"cut in an event":    {cut, errdef.ErrUnavailable, 2, []string{"breaks off"}},
		"cut at once":        {&modelserver.Fault{CutAfter: 1}, errdef.ErrUnavailable, 2, []string{"breaks off"}},
		"no events":          {&modelserver.Fault{Body: "<html>hello</html>"}, errdef.ErrUnavailable, 2, []string{"breaks off"}},
		"no JSON":            {&modelserver.Fault{Body: "data: {oops\n\n"}, errdef.ErrDataLoss, 0, []string{"no JSON", "base_url"}},
		"an error as HTML":   {&modelserver.Fault{Status: 502, Body: "<html>bad\n gateway</html>"}, errdef.ErrUnavailable, 2, []string{"<html>bad gateway</html>"}},
		"the key in it":      {&modelserver.Fault{Status: 400, Body: `{"error":{"message":"you sent ` + canary + `"}}`}, errdef.ErrInvalid, 0, []string{"you sent [key]"}},
		"a redirect":         {&modelserver.Fault{Status: 307, Header: map[string][]string{"Location": {"http://thief.example/"}}}, errdef.ErrInvalid, 0, []string{"thief.example", "base_url"}},
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
			_, err := open(t, url, block).Complete(t.Context(), ask("p"), func(p llm.Progress) error {
				if p.Retry != nil {
					retries++
				}
				return nil
			})
			said := ""
			if err != nil {
				said = err.Error() + " – " + errdef.Remedy(err)
			}
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
			if len(s.Received()) != c.retries+1 {
				t.Errorf("%d requests", len(s.Received()))
			}
		})
	}
}

func TestRecovers(t *testing.T) {
	s, url := modeltest.Serve(t, modelserver.Config{Rules: []modelserver.Rule{{Match: "", Say: strings.Repeat("word ", 100)}}})
	s.Fail(&modelserver.Fault{Status: 429, RetryAfter: "0"}, &modelserver.Fault{CutAfter: 900}, &modelserver.Fault{Error: true}, &modelserver.Fault{Status: 500})
	var retries []llm.Retry
	turn, err := open(t, url, nil).Complete(t.Context(), ask("p"), func(p llm.Progress) error {
		if p.Retry != nil {
			retries = append(retries, *p.Retry)
		}
		return nil
	})
	if err != nil || textOf(turn) != strings.Repeat("word ", 100) || len(retries) != 4 || retries[3].Attempt != 4 || !strings.Contains(retries[0].Reason, "429") {
		t.Errorf("%q, %v, %+v", textOf(turn), err, retries)
	}
}

func TestUnreachable(t *testing.T) {
	_, err := open(t, "http://127.0.0.1:1", map[string]any{"max_retries": 1}).Complete(t.Context(), ask("p"), nil)
	if !errors.Is(err, errdef.ErrUnavailable) || !strings.Contains(err.Error(), "http://127.0.0.1:1") || !strings.Contains(errdef.Remedy(err), "base_url") {
		t.Errorf("%v – %s", err, errdef.Remedy(err))
	}
}

func TestUsageAndLimits(t *testing.T) {
	s, url := modeltest.Serve(t, modelserver.Config{Rules: []modelserver.Rule{
		{Match: "", Say: "x", Usage: modelserver.Usage{InputTokens: 10, OutputTokens: 20, CacheReadTokens: 30, CacheWriteTokens: 40}},
	}})
	sent := func(block map[string]any, req llm.Request) (body struct {
		MaxTokens    int            `json:"max_tokens"`
		Thinking     map[string]any `json:"thinking"`
		OutputConfig map[string]any `json:"output_config"`
		Temperature  *float64
	}, text string) {
		t.Helper()
		turn, err := open(t, url, block).Complete(t.Context(), req, nil)
		if err != nil {
			t.Fatal(err)
		}
		if (turn.Usage != llm.Usage{InputTokens: 10, OutputTokens: 20, CacheReadTokens: 30, CacheWriteTokens: 40}) {
			t.Errorf("usage %+v", turn.Usage)
		}
		all := s.Received()
		text = string(all[len(all)-1].Body)
		json.Unmarshal([]byte(text), &body)
		return body, text
	}
	half := 0.5
	req := ask("p")
	req.System, req.Temperature = "be brief", &half
	if body, text := sent(nil, req); body.MaxTokens != 128_000 || *body.Temperature != 0.5 || strings.Count(text, "ephemeral") != 2 || body.Thinking != nil {
		t.Errorf("sent %s", text)
	}
	if _, text := sent(map[string]any{"prompt_cache": false}, req); strings.Contains(text, "ephemeral") {
		t.Errorf("sent %s", text)
	}
	if body, _ := sent(map[string]any{"max_tokens": 4000, "thinking": "enabled", "thinking_tokens": 5000, "effort": "high"}, req); body.MaxTokens != 4000 ||
		body.Thinking["budget_tokens"] != 3999.0 || body.Temperature != nil || body.OutputConfig["effort"] != "high" {
		t.Errorf("sent %+v", body)
	}
	req.Model = "somebody-else"
	if body, _ := sent(nil, req); body.MaxTokens != unknownOutput {
		t.Errorf("max_tokens %d of an unknown model", body.MaxTokens)
	}
	req.MaxOutputTokens = 100
	if body, _ := sent(map[string]any{"max_tokens": 20_000, "thinking": "enabled", "thinking_tokens": 2000}, req); body.MaxTokens != 100 || body.Thinking != nil {
		t.Errorf("sent %+v", body)
	}
}

func TestBadBlocks(t *testing.T) {
	for want, block := range map[string]string{
		"ANTHROPIC_API_KEY":           `{}`,
		"no other place is looked at": `{"base_url": "https://api.anthropic.com/v1/"}`,
		"white space":                 `{"api_key": "sk\n"}`,
		"not the URL":                 `{"api_key": "x", "base_url": "localhost:1"}`,
		"neither user, query":         `{"api_key": "x", "base_url": "http://u:p@h/"}`,
		"1024 or more":                `{"api_key": "x", "thinking": "enabled"}`,
		"off, adaptive or enabled":    `{"api_key": "x", "thinking": "hard"}`,
		"of use with":                 `{"api_key": "x", "thinking_tokens": 2000}`,
		"between 0 and 20":            `{"api_key": "x", "max_retries": 21}`,
		"a time such as":              `{"api_key": "x", "idle_timeout": "soon"}`,
		"1 or more":                   `{"api_key": "x", "max_tokens": -1}`,
	} {
		err := Plugin().Configure(t.Context(), base.Config{JSON: []byte(block)})
		var diags base.Diagnostics
		if !errors.As(err, &diags) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestPriceListIsAnthropicsOnly(t *testing.T) {
	for url, want := range map[string]string{"https://api.anthropic.com/v1": "anthropic", "http://127.0.0.1:9": ""} {
		d, err := open(t, url, nil).Describe(t.Context())
		if err != nil || d.PriceList != want {
			t.Errorf("%s: %q, %v", url, d.PriceList, err)
		}
	}
}
