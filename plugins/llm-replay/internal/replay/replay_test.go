package replay_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/modelserver/modeltest"
	"github.com/voidbox-run/voidbox/plugins/llm-replay/internal/replay"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/plugintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open serves the plugin over gRPC within this process.
func open(t *testing.T, block map[string]any) llm.LLM {
	t.Helper()
	config, err := json.Marshal(block)
	if err != nil {
		t.Fatal(err)
	}
	return llm.NewClient(sdk.TestConn(t, replay.Plugin(), string(config)))
}

// tape writes a cassette of one conversation with these turns.
func tape(t *testing.T, turns string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tape.json")
	text := `{"voidbox_cassette": 1, "conversations": [{"name": "c", "turns": [` + turns + `]}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestContract(t *testing.T) {
	plugintest.LLM(t, func(t *testing.T) llm.LLM {
		return open(t, map[string]any{"cassette": "testdata/conformance.json"})
	}, plugintest.LLMOptions{Opaque: true})
}

func user(parts ...llm.Part) llm.Message { return llm.Message{Role: llm.User, Parts: parts} }

func result(id, content string) llm.Part {
	return llm.Part{ToolResult: &llm.ToolResult{CallID: id, Content: content}}
}

// play asks for turns until one is without calls, and answers each call with answer.
func play(t *testing.T, model llm.LLM, prompt string, answer func(llm.ToolCall) string) ([]llm.Turn, error) {
	t.Helper()
	req := llm.Request{Conversation: t.Name(), Messages: []llm.Message{user(llm.Part{Text: prompt})}}
	var turns []llm.Turn
	for {
		turn, err := model.Complete(t.Context(), req, nil)
		if err != nil {
			return turns, err
		}
		turns = append(turns, turn)
		reply := user()
		for _, p := range turn.Message.Parts {
			if p.ToolCall != nil {
				reply.Parts = append(reply.Parts, result(p.ToolCall.ID, answer(*p.ToolCall)))
			}
		}
		if len(reply.Parts) == 0 {
			return turns, nil
		}
		req.Messages = append(req.Messages, turn.Message, reply)
	}
}

func TestTemplatesQuoteWhatToolsSaid(t *testing.T) {
	model := open(t, map[string]any{"cassette": tape(t, `
		{"tools": [{"id": "uname", "name": "bash", "arguments": {"command": "uname -a", "list": ["{{ prompt `+"`topic (.*)`"+` }}", 3]}}]},
		{"expect": {"user": "*", "results": {"uname": "Linux * x86_64*"}},
		 "tools": [{"name": "write", "arguments": {"content": "release {{ tool \"uname\" `+"`Linux \\\\S+ (\\\\S+)`"+` }}"}}]},
		{"expect": {"results": {"uname": "/6\\.1/"}}, "text": "This is {{ tool \"uname\" }}; {{ last }}."}`)})
	turns, err := play(t, model, "on the topic boot", func(c llm.ToolCall) string {
		if c.Name == "bash" {
			return "Linux box 6.1.0-30 x86_64 GNU\n"
		}
		return string(c.Arguments)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(turns[0].Message.Parts[0].ToolCall.Arguments); got != `{"command":"uname -a","list":["boot",3]}` {
		t.Errorf("arguments %s", got)
	}
	if got := turns[2].Message.Parts[0].Text; got != `This is Linux box 6.1.0-30 x86_64 GNU; {"content":"release 6.1.0-30"}.` {
		t.Errorf("text %s", got)
	}
}

func TestDivergenceNamesFileTurnAndBoth(t *testing.T) {
	call := `{"tools": [{"id": "a", "name": "bash", "arguments": {}}]}, `
	for name, c := range map[string]struct {
		turns  string
		answer string
		want   []string
	}{
		"user":    {`{"expect": {"user": "other words"}, "text": "x"}`, "", []string{"tape.json", `conversation "c"`, "turn 1", "expected: other words", `got:      "prompt"`}},
		"result":  {call + `{"expect": {"results": {"a": "exactly"}}, "text": "x"}`, "not quite", []string{"turn 2", "expected: exactly", `got:      "not quite"`}},
		"regex":   {call + `{"expect": {"results": {"a": "/^[0-9]+$/"}}, "text": "x"}`, "12a", []string{"turn 2", "expected: /^[0-9]+$/"}},
		"capture": {call + "{\"text\": \"{{ tool `a` `n=(.)` }}\"}", "none", []string{"turn 2", "does not match n=(.)"}},
		"end":     {call[:len(call)-2], "x", []string{"turn 2", "the cassette ends after turn 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := play(t, open(t, map[string]any{"cassette": tape(t, c.turns)}), "prompt", func(llm.ToolCall) string { return c.answer })
			if !errors.Is(err, errdef.ErrInvalid) || errdef.Remedy(err) == "" {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestHistoryMustBeTheCassettes(t *testing.T) {
	model := open(t, map[string]any{"cassette": tape(t, `{"tools": [{"id": "a", "name": "bash", "arguments": {}}]}, {"text": "x"}`)})
	said := llm.Message{Role: llm.Assistant, Parts: []llm.Part{{ToolCall: &llm.ToolCall{ID: "a", Name: "bash", Arguments: json.RawMessage("{}")}}}}
	prompt := user(llm.Part{Text: "p"})
	for name, messages := range map[string][]llm.Message{
		"unanswered call":   {prompt, said, user(llm.Part{Text: "well?"})},
		"answered twice":    {prompt, said, user(result("a", "x"), result("a", "y"))},
		"another call":      {prompt, {Role: llm.Assistant, Parts: []llm.Part{{Text: "no call"}}}, user(llm.Part{Text: "go on"})},
		"answer to nothing": {user(llm.Part{Text: "p"}, result("z", "x"))},
	} {
		if _, err := model.Complete(t.Context(), llm.Request{Conversation: name, Messages: messages}, nil); !errors.Is(err, errdef.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConversationsOfOneCassette(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tape.json")
	os.WriteFile(path, []byte(`{"voidbox_cassette": 1, "conversations": [
		{"match": "flaky", "times": 1, "turns": [{"error": {"kind": "unavailable", "message": "overloaded"}}]},
		{"match": "flaky", "turns": [{"text": "second try"}]},
		{"match": "(?i)ANALYST", "turns": [{"text": "analysis", "retries": ["busy"]}]}]}`), 0o600)
	model := open(t, map[string]any{"cassette": path})
	ask := func(id, prompt string) (string, error) {
		turn, err := model.Complete(t.Context(), llm.Request{Conversation: id, Messages: []llm.Message{user(llm.Part{Text: prompt})}}, nil)
		if err != nil {
			return "", err
		}
		return turn.Message.Parts[0].Text, nil
	}
	for range 2 { // who was given a conversation keeps it
		if _, err := ask("first", "flaky"); !errors.Is(err, errdef.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if text, err := ask("second", "flaky"); text != "second try" {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := ask("third", "you are an analyst"); text != "analysis" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := ask("fourth", "nobody"); !errors.Is(err, errdef.ErrInvalid) || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("got %v", err)
	}
}

func TestPrices(t *testing.T) {
	unknown := open(t, map[string]any{"cassette": tape(t, `{"text": "x", "usage": {"output_tokens": 1000000}}`)})
	if d, _ := unknown.Describe(t.Context()); d.Models[0].Price != nil {
		t.Error("a price was made up")
	}
	turns, err := play(t, unknown, "p", nil)
	if err != nil || turns[0].Usage.CostKnown {
		t.Errorf("%v %+v", err, turns)
	}
	priced := open(t, map[string]any{"cassette": tape(t, `{"text": "x", "usage": {"output_tokens": 1000000}}`), "input_price": 1, "output_price": 2})
	if turns, err = play(t, priced, "p", nil); err != nil || turns[0].Usage.CostUSD != 2 || !turns[0].Usage.CostKnown {
		t.Errorf("%v %+v", err, turns)
	}
}

func TestBadBlocks(t *testing.T) {
	for want, block := range map[string]string{
		"Nothing to play":             `{}`,
		"Both cassette and server":    `{"cassette": "a", "server": "http://x"}`,
		"no such file":                `{"cassette": "/no/such/file"}`,
		"neither http://host:port":    `{"server": "ftp://x"}`,
		"must be absolute":            `{"server": "unix:relative"}`,
		"Half a price":                `{"server": "http://x", "input_price": 1}`,
		"The price is negative":       `{"server": "http://x", "input_price": 1, "output_price": -1}`,
		"plays version 1":             `{"cassette": "` + cassetteFile(t, `{"voidbox_cassette": 2}`) + `"}`,
		"near line 2":                 `{"cassette": "` + cassetteFile(t, "{\n\"voidbox_cassette\": oops}") + `"}`,
		`unknown field "turnz"`:       `{"cassette": "` + cassetteFile(t, `{"voidbox_cassette": 1, "turnz": []}`) + `"}`,
		"no conversations":            `{"cassette": "` + cassetteFile(t, `{"voidbox_cassette": 1}`) + `"}`,
		"which was not called before": `{"cassette": "` + tape(t, "{\"text\": \"{{ tool `x` }}\"}") + `"}`,
		"no tool was called with":     `{"cassette": "` + tape(t, `{"expect": {"results": {"x": "*"}}}`) + `"}`,
		`the id \"a\" is taken`:       `{"cassette": "` + tape(t, `{"tools": [{"id": "a", "name": "x"}, {"id": "a", "name": "x"}]}`) + `"}`,
		"turn 1 is null":              `{"cassette": "` + tape(t, `null`) + `"}`,
		"stop is":                     `{"cassette": "` + tape(t, `{"stop": "tired"}`) + `"}`,
	} {
		err := replay.Plugin().Configure(t.Context(), base.Config{JSON: []byte(block)})
		var diags base.Diagnostics
		if !errors.As(err, &diags) || !strings.Contains(err.Error(), strings.ReplaceAll(want, `\"`, `"`)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func cassetteFile(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "tape.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestScriptedServer(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			address := modeltest.Start(t, network,
				modelserver.Rule{Match: `in (\S+)`, Call: "read", Arguments: `{"path": "${1}"}`},
				modelserver.Rule{Tool: "read", Match: `nonce=(\w+)`, Say: "It is ${1}."})
			model := open(t, map[string]any{"server": address})
			turns, err := play(t, model, "find the nonce in /tmp/f", func(c llm.ToolCall) string {
				return "nonce=abc of " + string(c.Arguments)
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := string(turns[0].Message.Parts[0].ToolCall.Arguments); got != `{"path":"/tmp/f"}` {
				t.Errorf("arguments %s", got)
			}
			if got := turns[1].Message.Parts[0].Text; got != "It is abc." {
				t.Errorf("text %q", got)
			}
			if _, err := play(t, model, "unheard of", nil); !errors.Is(err, errdef.ErrInvalid) || !strings.Contains(err.Error(), "no rule matches") {
				t.Errorf("got %v", err)
			}
		})
	}
	gone := open(t, map[string]any{"server": "unix:" + t.TempDir() + "/none.sock"})
	if _, err := play(t, gone, "p", nil); !errors.Is(err, errdef.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
