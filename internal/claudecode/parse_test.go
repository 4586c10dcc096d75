package claudecode

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/sdk/llm"
)

// parse runs a recorded stream through a parser.
func parse(t testing.TB, text []byte, opt ParserOptions) []llm.Event {
	t.Helper()
	p := NewParser(opt)
	var all []llm.Event
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, llm.MaxLineBytes)
	for lines.Scan() {
		events, err := p.Line(lines.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, events...)
	}
	events, err := p.Close()
	if err != nil {
		t.Fatal(err)
	}
	return append(all, events...)
}

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// brief writes events down, one a line, without pieces of texts.
func brief(events []llm.Event) string {
	var b strings.Builder
	for _, e := range events {
		switch e := e.(type) {
		case llm.Init:
			fmt.Fprintf(&b, "init %s, %d tools, %d skills\n", e.Model, len(e.Tools), len(e.Skills))
		case llm.Text:
			if !e.Partial {
				fmt.Fprintf(&b, "text %q thinking %v\n", e.Text, e.Thinking)
			}
		case llm.ToolCall:
			fmt.Fprintf(&b, "call %s %s %s\n", e.ID, e.Name, e.Arguments)
		case llm.ToolResult:
			fmt.Fprintf(&b, "result %s %q error %v\n", e.CallID, e.Content, e.Error)
		case llm.Retry:
			fmt.Fprintf(&b, "retry %d after %v: %s\n", e.Attempt, e.Delay, e.Reason)
		case llm.Usage:
			fmt.Fprintf(&b, "usage %d %d %d %d\n", e.InputTokens, e.OutputTokens, e.CacheReadTokens, e.CacheWriteTokens)
		case llm.Result:
			u := e.Usage
			fmt.Fprintf(&b, "end %q error %q, %d turns, %d %d %d %d, $%.6f known %v\n", e.Text, e.Error, e.Turns,
				u.InputTokens, u.OutputTokens, u.CacheReadTokens, u.CacheWriteTokens, u.CostUSD, u.CostKnown)
		}
	}
	return b.String()
}

func TestRecordedStreams(t *testing.T) {
	const command = `{"command":"echo hello-from-tool > out.txt; cat out.txt; id -u","description":"d"}`
	for name, want := range map[string]string{
		"claude-tool-turn": `init claude-opus-5-5, 23 tools, 18 skills
call toolu_11 Bash ` + command + `
result toolu_11 "hello-from-tool\n1000" error false
text "final answer" thinking false
end "final answer" error "", 2 turns, 200 27 20 40, $0.001544 known true
`,
		"claude-thinking-tool-turn": `init claude-sonnet-5-5, 22 tools, 16 skills
text "let me see" thinking true
text "I look." thinking false
call call_2_signed Bash {"command":"echo nonce=abc; id -u","description":"d"}
usage 200 20 0 0
result call_2_signed "nonce=abc\n1000" error false
text "the nonce is abc" thinking false
usage 300 30 100 0
end "the nonce is abc" error "", 2 turns, 500 50 100 0, $0.001510 known true
`,
		"claude-401": `init claude-opus-5-5, 3 tools, 16 skills
retry 1 after 550ms: authentication_failed (status 401)
text "Invalid API key · Fix external API key" thinking false
end "" error "Claude Code: Invalid API key · Fix external API key (the provider refused the credential, or none was given: check api_key in the llm block)", 1 turns, 0 0 0 0, $0.000000 known true
`,
		"claude-not-logged-in": `init claude-opus-5-5, 22 tools, 16 skills
text "Not logged in · Please run /login" thinking false
end "" error "Claude Code: Not logged in · Please run /login (the provider refused the credential, or none was given: check api_key in the llm block)", 1 turns, 0 0 0 0, $0.000000 known true
`,
		"claude-oauth-rate-limit-event": `init claude-sonnet-5-5, 23 tools, 17 skills
text "final answer" thinking false
end "final answer" error "", 1 turns, 100 7 10 20, $0.000321 known true
`,
		"claude-max-turns":     `end "" error "Claude Code reached its limit of turns (2)", 2 turns, 200 20 0 0, $0.000600 known true`,
		"claude-wrong-model":   `end "" error "Claude Code: There's an issue with the selected model (claude-sonnet-5-5). It may not exist`,
		"claude-unknown-model": `end "the nonce is abc" error "", 2 turns, 500 50 100 0, $0.000000 known false`,
	} {
		if got := brief(parse(t, recorded(t, name), ParserOptions{})); !strings.Contains(got, want) {
			t.Errorf("%s\n got %s\nwant %s", name, got, want)
		}
	}
}

// Pieces of a text, put together, are the text.
func TestPieces(t *testing.T) {
	var said, thought strings.Builder
	for _, e := range parse(t, recorded(t, "claude-thinking-tool-turn"), ParserOptions{}) {
		if text, ok := e.(llm.Text); ok && text.Partial {
			if text.Thinking {
				thought.WriteString(text.Text)
			} else {
				said.WriteString(text.Text)
			}
		}
	}
	if said.String() != "I look.the nonce is abc" || thought.String() != "let me see" {
		t.Errorf("said %q, thought %q", said.String(), thought.String())
	}
}

func TestInitNamesSkillsAndTools(t *testing.T) {
	init := parse(t, recorded(t, "claude-skills-and-mcp-init"), ParserOptions{})[0].(llm.Init)
	if len(init.Skills) == 0 || init.Skills[0] != "diruser" || init.Tools[len(init.Tools)-1] != "mcp__t__ping" || init.Session == "" {
		t.Errorf("%+v", init)
	}
}

func TestCostOfSomebodyElsesServerIsNotBelieved(t *testing.T) {
	events := parse(t, recorded(t, "claude-through-ollama"), ParserOptions{IgnoreCost: true})
	last := events[len(events)-1].(llm.Result)
	if last.Usage.CostKnown || last.Usage.CostUSD != 0 || last.Usage.InputTokens != 200 {
		t.Errorf("%+v", last)
	}
}

func TestResultsOfEveryShape(t *testing.T) {
	p := NewParser(ParserOptions{})
	for line, want := range map[string]string{
		`{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"x"},{"type":"image"}]}]}}`: `result a "x\n[image]" error false`,
		`{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"a","is_error":true}]}}`:                                         `result a "" error true`,
		`{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"a","content":{"x":1}}]}}`:                                       `result a "{\"x\":1}" error false`,
		`{"type":"user","message":{"content":"the prompt"}}`:                                                                                       ``,
		`{"type":"assistant","message":{"content":[{"type":"text","text":"t"}],"usage":"odd"}}`:                                                    `text "t" thinking false`,
	} {
		events, err := p.Line([]byte(line))
		if got := strings.TrimSpace(brief(events)); err != nil || got != want {
			t.Errorf("%s: %q, %v", line, got, err)
		}
	}
}

func FuzzParser(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.jsonl")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"type":"stream_event","event":{"type":"message_delta","usage":{}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		first := parse(t, text, ParserOptions{})
		for i, e := range first {
			if _, ok := e.(llm.Result); ok && i != len(first)-1 {
				t.Error("events follow the result")
			}
		}
		if again := parse(t, text, ParserOptions{}); !reflect.DeepEqual(first, again) {
			t.Error("the same stream gave other events")
		}
	})
}
