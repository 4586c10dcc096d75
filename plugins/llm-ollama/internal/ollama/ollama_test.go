package ollama

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
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

var qwen = modelserver.Model{Name: "qwen:8b", Tools: true, Context: 131072}

// open serves the plugin over gRPC within this process, with a block that asks the server at url.
func open(t *testing.T, url string, block map[string]any) llm.LLM {
	t.Helper()
	all := map[string]any{"base_url": url}
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

func TestContract(t *testing.T) {
	text, err := os.ReadFile("../../../../internal/claudecode/testdata/claude-through-ollama.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for name, thinking := range map[string]string{"plain": "", "thinking": "I should call it."} {
		t.Run(name, func(t *testing.T) {
			_, url := modeltest.Serve(t, modelserver.Config{Rules: modeltest.Conformance(thinking), Models: []modelserver.Model{qwen}})
			plugintest.LLM(t, func(t *testing.T) llm.LLM { return open(t, url, nil) }, plugintest.LLMOptions{
				Opaque: thinking != "", Transcript: strings.Split(strings.TrimSpace(string(text)), "\n"),
			})
		})
	}
}

func ask(prompt string) llm.Request {
	return llm.Request{
		Conversation: "c", Model: "qwen:8b", Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Text: prompt}}}},
		Tools: []llm.Tool{{Name: "bash", InputSchema: json.RawMessage(`{"type":"object"}`)}},
	}
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
	long := strings.Repeat("é", 1<<19)
	s, url := modeltest.Serve(t, modelserver.Config{Models: []modelserver.Model{qwen}, Rules: []modelserver.Rule{
		{Match: "say", Say: said, Thinking: "hm 🤔"}, {Match: "call", Call: "bash", Arguments: `{"command":"echo ` + said + `"}`}, {Match: "long", Say: long},
	}})
	model := open(t, url, nil)
	for piece := 1; piece < 30; piece++ {
		s.Fail(&modelserver.Fault{Piece: piece, Comments: piece%2 == 0}, &modelserver.Fault{Piece: piece})
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
			t.Fatalf("in pieces of %d: %q, %v, pieces %q", piece, textOf(turn), err, pieces.String())
		}
		turn, err = model.Complete(t.Context(), ask("call"), nil)
		if err != nil || string(turn.Message.Parts[0].ToolCall.Arguments) != `{"command":"echo `+said+`"}` {
			t.Fatalf("in pieces of %d: %+v, %v", piece, turn, err)
		}
	}
	if turn, err := model.Complete(t.Context(), ask("long"), nil); err != nil || textOf(turn) != long {
		t.Errorf("a text of 1 MB: %d bytes, %v", len(textOf(turn)), err)
	}
	s.Fail(&modelserver.Fault{InvalidUTF8: true})
	if turn, err := model.Complete(t.Context(), ask("say"), nil); err != nil || textOf(turn) != said+"\uFFFD" {
		t.Errorf("invalid UTF-8: %q, %v", textOf(turn), err)
	}
}

func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault   *modelserver.Fault // of every request
		kind    error
		retries int
		want    []string // in the message or the remedy
	}{
		"401":                {&modelserver.Fault{Status: 401}, errdef.ErrUnauthenticated, 0, []string{"status 401", "api_key"}},
		"403":                {&modelserver.Fault{Status: 403}, errdef.ErrPermission, 0, []string{"status 403"}},
		"429":                {&modelserver.Fault{Status: 429, RetryAfter: "0"}, errdef.ErrExhausted, 2, []string{"429", "after 3 attempts"}},
		"503, busy":          {&modelserver.Fault{Status: 503, Body: `{"error":"server busy, please try again.  maximum pending requests exceeded"}`}, errdef.ErrUnavailable, 2, []string{"server busy"}},
		"no memory":          {&modelserver.Fault{Status: 500, Body: `{"error":"model requires more system memory (40 GiB) than is available (10 GiB)"}`}, errdef.ErrExhausted, 0, []string{"40 GiB", "smaller num_ctx"}},
		"too long":           {&modelserver.Fault{Status: 400, Body: `{"error":"the input length exceeds the context length"}`}, errdef.ErrExhausted, 0, []string{"larger context"}},
		"error in a line":    {&modelserver.Fault{Error: true}, errdef.ErrUnavailable, 2, []string{"overloaded"}},
		"cut in a line":      {&modelserver.Fault{CutAfter: 500}, errdef.ErrUnavailable, 2, []string{"breaks off"}},
		"ends too early":     {&modelserver.Fault{Body: "{\"message\":{\"content\":\"a\"}}\n"}, errdef.ErrUnavailable, 2, []string{"breaks off"}},
		"no JSON":            {&modelserver.Fault{Body: "<html>\n"}, errdef.ErrDataLoss, 0, []string{"no JSON", "base_url"}},
		"hangs":              {&modelserver.Fault{Hang: true}, errdef.ErrUnavailable, 0, []string{"nothing for", "idle_timeout"}},
		"hangs in mid-line":  {&modelserver.Fault{HangAfter: 300}, errdef.ErrUnavailable, 0, []string{"nothing for"}},
		"a line of 9 MB":     {&modelserver.Fault{Body: strings.Repeat("x", 9<<20)}, errdef.ErrDataLoss, 0, []string{"a line of more than"}},
		"an error of a page": {&modelserver.Fault{Status: 502, Body: "<html>bad gateway</html>"}, errdef.ErrUnavailable, 2, []string{"bad gateway"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, url := modeltest.Serve(t, modelserver.Config{Models: []modelserver.Model{qwen}, Rules: []modelserver.Rule{{Match: "", Say: strings.Repeat("word ", 100)}}})
			s.FailAlways(c.fault)
			block := map[string]any{"max_retries": 2, "idle_timeout": "10m"}
			if c.fault.Hang || c.fault.HangAfter > 0 {
				block["idle_timeout"] = "100ms"
			}
			retries := 0
			_, err := open(t, url, block).Complete(t.Context(), ask("p"), func(p llm.Progress) error {
				if p.Retry != nil {
					retries++
				}
				return nil
			})
			said := fmt.Sprint(err, " – ", errdef.Remedy(err))
			if !errors.Is(err, c.kind) || retries != c.retries {
				t.Errorf("%d retries, then %q, want %v", retries, said, c.kind)
			}
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("%q lacks %q", said, want)
				}
			}
		})
	}
}

func TestModels(t *testing.T) {
	tiny := modelserver.Model{Name: "tiny:1b", Context: 8192}
	_, url := modeltest.Serve(t, modelserver.Config{Models: []modelserver.Model{tiny, qwen}, Rules: []modelserver.Rule{{Match: "", Say: "x"}}})
	model := open(t, url, nil)
	d, err := model.Describe(t.Context())
	free := &llm.Price{}
	want := []llm.Model{{ID: "tiny:1b", ContextTokens: 8192, Price: free}, {ID: "qwen:8b", ContextTokens: 32768, Tools: true, Price: free}}
	if err != nil || !reflect.DeepEqual(d.Models, want) || d.DefaultModel != "qwen:8b" {
		t.Errorf("%+v, %v", d, err)
	}
	for name, c := range map[string]struct {
		kind error
		want string
	}{
		"tiny:1b":  {errdef.ErrUnsupported, "choose a model with the capability tools, or set tools = [] in the agent; there are qwen:8b"},
		"absent:1": {errdef.ErrNotFound, "run: ollama pull absent:1; or set pull = true in the llm block; there are tiny:1b, qwen:8b"},
	} {
		req := ask("p")
		req.Model = name
		if _, err := model.Complete(t.Context(), req, nil); !errors.Is(err, c.kind) || errdef.Remedy(err) != c.want {
			t.Errorf("%s: %v – %s", name, err, errdef.Remedy(err))
		}
		if _, err := model.PlanCLI(t.Context(), llm.CLIRequest{Prompt: "p", Model: name}); !errors.Is(err, c.kind) {
			t.Errorf("%s, for a command-line agent: %v", name, err)
		}
	}
	req := ask("p")
	req.Model, req.Tools = "tiny:1b", nil
	if turn, err := model.Complete(t.Context(), req, nil); err != nil || textOf(turn) != "x" {
		t.Errorf("a model without tools that needs none: %+v, %v", turn, err)
	}
}

func TestNoServerAndNoModels(t *testing.T) {
	_, err := open(t, "http://127.0.0.1:1", map[string]any{"max_retries": 1}).Describe(t.Context())
	if !errors.Is(err, errdef.ErrUnavailable) || !strings.Contains(errdef.Remedy(err), "ollama serve") {
		t.Errorf("no server: %v – %s", err, errdef.Remedy(err))
	}
	_, url := modeltest.Serve(t, modelserver.Config{Pullable: []modelserver.Model{qwen}})
	req := ask("p")
	req.Model = ""
	if _, err := open(t, url, nil).Complete(t.Context(), req, nil); !errors.Is(err, errdef.ErrInvalid) || !strings.Contains(errdef.Remedy(err), "ollama pull") {
		t.Errorf("no models: %v – %s", err, errdef.Remedy(err))
	}
}

func TestPull(t *testing.T) {
	s, url := modeltest.Serve(t, modelserver.Config{Pullable: []modelserver.Model{qwen}, Rules: []modelserver.Rule{{Match: "", Say: "x"}}})
	model := open(t, url, map[string]any{"pull": true})
	var mu sync.Mutex
	var told []string
	var all sync.WaitGroup
	for range 8 { // agents that all find it missing fetch it once
		all.Go(func() {
			turn, err := model.Complete(t.Context(), ask("p"), func(p llm.Progress) error {
				if p.Retry != nil {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, p.Retry.Reason)
				}
				return nil
			})
			if err != nil || textOf(turn) != "x" {
				t.Errorf("%+v, %v", turn, err)
			}
		})
	}
	all.Wait()
	pulls := 0
	for _, r := range s.Received() {
		if r.Path == "/api/pull" {
			pulls++
		}
	}
	if pulls != 1 || len(told) != 13 || told[6] != "pulling qwen:8b: 50% of 0 MB" {
		t.Errorf("%d pulls, told %q", pulls, told)
	}
	req := ask("p")
	req.Model = "nobody/nothing"
	if _, err := model.Complete(t.Context(), req, nil); !errors.Is(err, errdef.ErrNotFound) || !strings.Contains(err.Error(), "file does not exist") {
		t.Errorf("a model that nobody has: %v", err)
	}
}

func TestRequest(t *testing.T) {
	s, url := modeltest.Serve(t, modelserver.Config{Models: []modelserver.Model{qwen}, Rules: []modelserver.Rule{
		{Match: "p", Call: "bash", Arguments: `{"a":1}`}, {Tool: "bash", Match: "", Say: "done"},
	}})
	model := open(t, url, map[string]any{"num_ctx": 65536, "max_tokens": 100, "think": "off", "keep_alive": "30m"})
	req := ask("p")
	req.System = "be brief"
	turn, err := model.Complete(t.Context(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	call := turn.Message.Parts[0].ToolCall
	req.Messages = append(req.Messages, turn.Message, llm.Message{Role: llm.User, Parts: []llm.Part{{ToolResult: &llm.ToolResult{CallID: call.ID, Content: "r"}}}})
	req.Messages[1].Parts[0].ToolCall.Arguments = json.RawMessage(`{"broken`)
	if turn, err = model.Complete(t.Context(), req, nil); err != nil || textOf(turn) != "done" {
		t.Fatalf("%+v, %v", turn, err)
	}
	all := s.Received()
	sent := string(all[len(all)-1].Body)
	for _, want := range []string{
		`"num_ctx":65536`, `"num_predict":100`, `"think":false`, `"keep_alive":"30m"`, `"truncate":false`, `"role":"system","content":"be brief"`,
		`"role":"tool","content":"r","tool_name":"bash","tool_call_id":"` + call.ID + `"`, `{"unreadable_arguments":"{\"broken"}`,
	} {
		if !strings.Contains(sent, want) {
			t.Errorf("sent %s, which lacks %s", sent, want)
		}
	}
}

func TestBadBlocks(t *testing.T) {
	for want, block := range map[string]string{
		"not the URL":              `{"base_url": "localhost:11434"}`,
		"2048 or more":             `{"num_ctx": 100}`,
		"1 or more":                `{"max_tokens": -1}`,
		"on, off, low, medium":     `{"think": "hard"}`,
		"a time such as 30m":       `{"keep_alive": "for ever"}`,
		"between 0 and 20":         `{"max_retries": 99}`,
		"a time such as 90s or 5m": `{"idle_timeout": "0"}`,
		"white space":              `{"api_key": "a\nb"}`,
	} {
		err := Plugin().Configure(t.Context(), base.Config{JSON: []byte(block)})
		var diags base.Diagnostics
		if !errors.As(err, &diags) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// FuzzStream holds the reader to one meaning of a stream, however it is cut into pieces.
func FuzzStream(f *testing.F) {
	f.Add([]byte(`{"message":{"content":"a","tool_calls":[{"function":{"name":"f","arguments":{"x":1}}}]}}` + "\n" + `{"done":true,"done_reason":"stop","eval_count":1}` + "\n"))
	f.Add([]byte("\r\n{\"error\":\"x\"}\n"))
	f.Add([]byte("{\"message\":{\"thinking\":\"\xff\",\"tool_calls\":[{}]},\"done\":true}"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		progress := func(llm.Progress) error { return nil }
		whole, err := read(ask("p"), bytes.NewReader(stream), progress)
		pieces, err2 := read(ask("p"), iotest.OneByteReader(bytes.NewReader(stream)), progress)
		if (err == nil) != (err2 == nil) || !reflect.DeepEqual(whole, pieces) {
			t.Errorf("whole %+v, %v; in pieces %+v, %v", whole, err, pieces, err2)
		}
		readPull("m", bytes.NewReader(stream), func(string) error { return nil })
	})
}
