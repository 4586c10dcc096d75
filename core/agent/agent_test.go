package agent

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voidbox-run/voidbox/core/event"
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/skill"
	"github.com/voidbox-run/voidbox/internal/mcpstandin"
	"github.com/voidbox-run/voidbox/internal/testllm"
	"github.com/voidbox-run/voidbox/internal/testsandbox"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// The test's own program is an MCP server, too.
const serveEnv = "MCP_TEST_SERVES"

func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) != "" {
		mcpstandin.Run()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// bench is a run with a fake model in a directory of the host.
type bench struct {
	t       *testing.T
	sandbox *testsandbox.Sandbox
	llm     *testllm.LLM
	agent   *plan.AgentRun
	skills  []skill.Skill

	delegate func(context.Context, *plan.AgentRun) (Report, error)

	mu     sync.Mutex
	events []event.Data
}

func newBench(t *testing.T, model *testllm.LLM) *bench {
	return &bench{t: t, sandbox: testsandbox.New(t), llm: model, agent: &plan.AgentRun{
		Agent: "a", Prompt: "do it", Sandbox: &plan.Sandbox{}, LLM: &plan.LLM{},
	}}
}

func (b *bench) run(ctx context.Context) (Report, error) {
	stream := event.NewStream("run", event.SinkFunc(func(e event.Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if _, err := json.Marshal(e); err != nil {
			b.t.Errorf("event that is no JSON: %v", err)
		}
		b.events = append(b.events, e.Data)
	}))
	return Run(ctx, Config{Agent: b.agent, LLM: b.llm, Sandbox: b.sandbox, Skills: b.skills, Events: stream.Root(), Conversation: "c", Delegate: b.delegate})
}

func (b *bench) succeed() Report {
	b.t.Helper()
	report, err := b.run(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return report
}

func (b *bench) read(path string) string {
	b.t.Helper()
	content, err := os.ReadFile(b.sandbox.Host(path))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(content)
}

func (b *bench) fifo(path string) {
	b.t.Helper()
	if err := syscall.Mkfifo(b.sandbox.Host(path), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// results are what the model was told in its last request.
func (b *bench) results() []llm.ToolResult {
	b.t.Helper()
	requests := b.llm.Requests()
	messages := requests[len(requests)-1].Messages
	var results []llm.ToolResult
	for _, p := range messages[len(messages)-1].Parts {
		if p.ToolResult != nil {
			results = append(results, *p.ToolResult)
		}
	}
	return results
}

func args(pairs ...string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	text, _ := json.Marshal(m)
	return string(text)
}

func TestToolsWorkInTheSandbox(t *testing.T) {
	b := newBench(t, testllm.Script(
		testllm.Call("write", args("path", "notes/a.txt", "content", "one\ntwo\n")),
		testllm.Call("edit", args("path", "notes/a.txt", "old", "two", "new", "three"), "read", args("path", "/home/agent/notes/a.txt")),
		testllm.Call("bash", args("command", "cat notes/a.txt; echo oops >&2; exit 3")),
		testllm.Say("done"),
	))
	report := b.succeed()
	if report.Output != "done" || report.Turns != 4 || report.Mode != ModeNative || report.Model != "test" {
		t.Errorf("report %+v", report)
	}
	if want := []string{"write", "edit", "read", "bash"}; !reflect.DeepEqual(report.Tools, want) {
		t.Errorf("tools %v", report.Tools)
	}
	if got := b.read("/home/agent/notes/a.txt"); got != "one\nthree\n" {
		t.Errorf("file %q", got)
	}
	second := b.llm.Requests()[2].Messages
	if got := second[len(second)-1].Parts[1].ToolResult.Content; got != "one\nthree\n" {
		t.Errorf("a read after an edit of the same file in one turn says %q", got)
	}
	if got := b.results()[0]; !got.Error || got.Content != "one\nthree\noops\n[exit status 3]" {
		t.Errorf("bash said %+v", got)
	}
}

func TestEventsTellTheWholeStory(t *testing.T) {
	model := testllm.Script(testllm.Used(testllm.Call("bash", args("command", "echo hi")), llm.Usage{InputTokens: 7}), testllm.Say("bye"))
	inner := model.Turn
	model.Turn = func(ctx context.Context, r llm.Request, progress func(llm.Progress) error) (llm.Turn, error) {
		progress(llm.Progress{Retry: &llm.Retry{Attempt: 1, Reason: "busy"}})
		progress(llm.Progress{Delta: &llm.Text{Text: "b"}})
		return inner(ctx, r, progress)
	}
	b := newBench(t, model)
	b.succeed()
	var got []string
	for _, e := range b.events {
		got = append(got, e.Type())
	}
	want := "agent_started retry text usage tool_call tool_result retry text text usage"
	if strings.Join(got, " ") != want {
		t.Errorf("events\n got %s\nwant %s", strings.Join(got, " "), want)
	}
	if started := b.events[0].(event.AgentStarted); len(started.Tools) != 4 || started.Mode != "native" || started.Model != "test" {
		t.Errorf("%+v", started)
	}
	if text := b.events[2].(event.Text); !text.Partial {
		t.Errorf("a delta is not partial: %+v", text)
	}
	if r := b.events[5].(event.ToolResult); r.Tool != "bash" || r.Content != "hi\n" || r.Took <= 0 {
		t.Errorf("%+v", r)
	}
}

func TestMalformedArgumentsAreRepairedOrExplained(t *testing.T) {
	fenced := "```json\n{\"command\": \"echo fenced\"}\n```"
	b := newBench(t, testllm.Script(
		testllm.Call("bash", fenced, "bash", `{"command": "echo 'two`+"\n"+`lines'",}`, "bash", `{"command": "echo`, "bash", `{"cmd": "ls"}`,
			"bash", `["ls"]`, "bash", `{"command": 5}`, "bsh", `{}`, "bash", `{"command": "echo t", "timeout_seconds": "9"}`),
		testllm.Say("ok"),
	))
	b.succeed()
	for i, want := range []struct {
		text string
		err  bool
	}{
		{"fenced\n", false}, {"two\nlines\n", false},
		{`the arguments are not valid JSON: unexpected end of JSON input: "{\"command\": \"echo"`, true},
		{`the argument "command" is missing`, true}, {`the arguments must be a JSON object: "[\"ls\"]"`, true},
		{`the argument "command" must be of type string, not 5`, true}, {`there is no tool "bsh"; the tools are bash, read, write, edit`, true},
		{"t\n", false},
	} {
		if got := b.results()[i]; got.Content != want.text || got.Error != want.err {
			t.Errorf("call %d: %+v, want %q", i+1, got, want.text)
		}
	}
	history := b.llm.Requests()[1].Messages[1]
	if got := string(history.Parts[0].ToolCall.Arguments); got != `{"command":"echo fenced"}` {
		t.Errorf("the history holds %s", got)
	}
}

func TestAnswerThatWasCutIsNotCompleted(t *testing.T) {
	cut := testllm.Call("write", `{"path": "a", "content": "x"`)
	cut.StopReason = llm.MaxTokens
	b := newBench(t, testllm.Script(cut, testllm.Say("ok")))
	b.succeed()
	if got := b.results()[0]; !got.Error || !strings.Contains(got.Content, "cut off") {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(b.sandbox.Host("/home/agent/a")); err == nil {
		t.Error("the file was written")
	}
}

func TestParallelCallsOverlapAndKeepTheirOrder(t *testing.T) {
	// A named pipe is opened by a writer and a reader together: run one after the other, the first would never end.
	b := newBench(t, testllm.Script(testllm.Call("bash", args("command", "echo > fifo; echo x"), "bash", args("command", "cat fifo > null; echo y")), testllm.Say("ok")))
	b.fifo("/home/agent/fifo")
	b.succeed()
	if r := b.results(); r[0].Content != "x\n" || r[1].Content != "y\n" || r[0].CallID != "c1" || r[1].CallID != "c2" {
		t.Errorf("%+v", r)
	}
	var order []string
	for _, e := range b.events {
		if r, ok := e.(event.ToolResult); ok {
			order = append(order, r.ID)
		}
	}
	if strings.Join(order, " ") != "c1 c2" {
		t.Errorf("results were announced in the order %v", order)
	}
}

func TestCallsAboveTheLimitAreToldSo(t *testing.T) {
	var calls []string
	for range maxCallsPerTurn + 1 {
		calls = append(calls, "read", args("path", "none"))
	}
	b := newBench(t, testllm.Script(testllm.Call(calls...), testllm.Say("ok")))
	b.succeed()
	if r := b.results(); !strings.Contains(r[maxCallsPerTurn].Content, "at most 64") || !strings.Contains(r[maxCallsPerTurn-1].Content, "read /home/agent/none") {
		t.Errorf("%+v", r[maxCallsPerTurn-1:])
	}
}

func TestLongAndBinaryOutputIsCutAndCleaned(t *testing.T) {
	b := newBench(t, testllm.Script(
		testllm.Call("bash", args("command", `printf 'head\033[31m\001'; head -c 100000 /dev/zero | tr '\0' 'x'; printf 'é\377tail'`)), testllm.Say("ok")))
	b.agent.OutputBytes = 1001
	b.succeed()
	got := b.results()[0].Content
	if !strings.HasPrefix(got, "head\uFFFDxxx") || !strings.HasSuffix(got, "é\uFFFDtail") || !strings.Contains(got, "bytes left out") || len(got) > 1100 {
		t.Errorf("%d bytes: %.40q ... %q", len(got), got, got[len(got)-40:])
	}
}

func TestToolDeadline(t *testing.T) {
	b := newBench(t, testllm.Script(testllm.Call("bash", `{"command": "echo start; sleep 1000", "timeout_seconds": 1}`), testllm.Say("ok")))
	b.succeed()
	if got := b.results()[0]; !got.Error || got.Content != "start\n[killed: it ran longer than 1s]" {
		t.Errorf("%+v", got)
	}
}

func TestLimits(t *testing.T) {
	loop := func(u llm.Usage) *testllm.LLM {
		l := &testllm.LLM{}
		l.Turn = func(context.Context, llm.Request, func(llm.Progress) error) (llm.Turn, error) {
			return testllm.Used(testllm.Call("bash", args("command", "echo x >> ran")), u), nil
		}
		return l
	}
	priced := &llm.Description{Native: true, DefaultModel: "test", Models: []llm.Model{{ID: "test", Tools: true, MaxOutputTokens: 9000, Price: &llm.Price{Output: 10}}}}
	for name, c := range map[string]struct {
		usage    llm.Usage
		turns    int
		budget   plan.Budget
		describe *llm.Description
		limit    string
		ran      int
	}{
		"turns":              {turns: 3, limit: LimitTurns, ran: 2},
		"tokens":             {usage: llm.Usage{InputTokens: 30, CacheReadTokens: 20}, budget: plan.Budget{Tokens: 100}, limit: LimitTokens, ran: 1},
		"usd of the price":   {usage: llm.Usage{OutputTokens: 1000}, budget: plan.Budget{USD: 0.03}, describe: priced, limit: LimitUSD, ran: 2},
		"usd of the usage":   {usage: llm.Usage{CostUSD: 1, CostKnown: true}, budget: plan.Budget{USD: 2}, limit: LimitUSD, ran: 1},
		"time of the budget": {budget: plan.Budget{Time: time.Nanosecond}, turns: 1 << 30, limit: LimitTime},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, loop(c.usage))
			b.llm.Description = c.describe
			b.agent.MaxTurns, b.agent.Budget = c.turns, c.budget
			report, err := b.run(t.Context())
			var limit *LimitError
			if !errors.As(err, &limit) || limit.Limit != c.limit {
				t.Fatalf("got %v", err)
			}
			if c.limit == LimitTime {
				return
			}
			if got := strings.Count(b.read("/home/agent/ran"), "x"); got != c.ran {
				t.Errorf("tools ran %d times, want %d", got, c.ran)
			}
			if report.Turns != c.ran+1 {
				t.Errorf("the report counts %d turns", report.Turns)
			}
			if c.describe == priced {
				first, second := b.llm.Requests()[0], b.llm.Requests()[1]
				if first.MaxOutputTokens != 3000 || second.MaxOutputTokens != 2000 {
					t.Errorf("asked for %d, then %d tokens; the budget pays for 3000, then 2000", first.MaxOutputTokens, second.MaxOutputTokens)
				}
			}
		})
	}
}

func TestFinalAnswerIsKeptThoughItUsedTheBudgetUp(t *testing.T) {
	b := newBench(t, testllm.Script(testllm.Used(testllm.Say("paid for"), llm.Usage{InputTokens: 500})))
	b.agent.Budget.Tokens = 100
	if report := b.succeed(); report.Output != "paid for" {
		t.Errorf("%+v", report)
	}
}

func TestBudgetInDollarsNeedsAPrice(t *testing.T) {
	b := newBench(t, testllm.Script(testllm.Say("x")))
	b.llm.Description = &llm.Description{Native: true, DefaultModel: "m"}
	b.agent.Budget.USD = 1
	_, err := b.run(t.Context())
	if !errors.Is(err, errdef.ErrState) || errdef.Remedy(err) == "" || len(b.llm.Requests()) != 0 {
		t.Fatalf("got %v after %d requests", err, len(b.llm.Requests()))
	}
}

func TestErrorsSayWhoFailed(t *testing.T) {
	boom := errdef.New(errdef.ErrUnavailable, "gone")
	t.Run("model", func(t *testing.T) {
		b := newBench(t, &testllm.LLM{Turn: func(context.Context, llm.Request, func(llm.Progress) error) (llm.Turn, error) {
			return llm.Turn{}, boom
		}})
		_, err := b.run(t.Context())
		var model *ModelError
		if !errors.As(err, &model) || !errors.Is(err, errdef.ErrUnavailable) {
			t.Fatal(err)
		}
	})
	t.Run("sandbox", func(t *testing.T) {
		b := newBench(t, testllm.Script(testllm.Call("bash", args("command", "true")), testllm.Say("no")))
		b.sandbox.Fail = func(method string) error {
			if method == "Exec" {
				return boom
			}
			return nil
		}
		_, err := b.run(t.Context())
		var sb *SandboxError
		if !errors.As(err, &sb) || !errors.Is(err, errdef.ErrUnavailable) {
			t.Fatal(err)
		}
	})
	for reason, want := range map[llm.StopReason]error{llm.Refusal: ErrRefused, llm.MaxTokens: ErrCut} {
		turn := testllm.Say("...")
		turn.StopReason = reason
		if _, err := newBench(t, testllm.Script(turn)).run(t.Context()); !errors.Is(err, want) {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

func TestCancelEndsToolsWithTheCause(t *testing.T) {
	why := errors.New("the user pressed ctrl-c")
	ctx, cancel := context.WithCancelCause(t.Context())
	b := newBench(t, testllm.Script(testllm.Call("bash", args("command", "echo started > fifo; sleep 1000")), testllm.Say("no")))
	b.fifo("/home/agent/fifo")
	go func() {
		os.ReadFile(b.sandbox.Host("/home/agent/fifo")) // returns once the command has written
		cancel(why)
	}()
	if _, err := b.run(ctx); !errors.Is(err, why) {
		t.Fatalf("got %v", err)
	}
}

func TestSkillsAreProvisionedAndListed(t *testing.T) {
	b := newBench(t, testllm.Script(testllm.Call("bash", args("command", `cat "$HOME/.claude/skills/hn/SKILL.md"`)), testllm.Say("ok")))
	skills, err := skill.Load(t.Context(), []*plan.Skill{{Block: plan.Block{Plugin: "inline", Label: "hn"}, Content: "# Hacker News\nUse the API."}}, skill.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	b.skills = skills
	b.succeed()
	if got := b.results()[0].Content; !strings.Contains(got, "description: Hacker News") || !strings.Contains(got, "Use the API.") {
		t.Errorf("the skill reads %q", got)
	}
	if system := b.llm.Requests()[0].System; !strings.Contains(system, "- hn (/home/agent/.agents/skills/hn/SKILL.md): Hacker News") {
		t.Errorf("the system prompt does not list the skill:\n%s", system)
	}
}

func TestOutputFile(t *testing.T) {
	b := newBench(t, testllm.Script(testllm.Call("write", args("path", "report.md", "content", "the report")), testllm.Say("see the file")))
	b.agent.OutputFile = "report.md"
	if report := b.succeed(); report.Output != "the report" {
		t.Errorf("output %q", report.Output)
	}
	b = newBench(t, testllm.Script(testllm.Say("forgot it")))
	b.agent.OutputFile = "/tmp/none"
	if _, err := b.run(t.Context()); !errors.Is(err, errdef.ErrNotFound) || !strings.Contains(err.Error(), "/tmp/none") {
		t.Errorf("got %v", err)
	}
}

func TestToolSelection(t *testing.T) {
	b := newBench(t, testllm.Script(testllm.Call("bash", args("command", "ls")), testllm.Say("ok")))
	b.agent.Tools = []string{"read"}
	b.succeed()
	if r := b.results()[0]; !r.Error || !strings.Contains(r.Content, "the tools are read") {
		t.Errorf("%+v", r)
	}
	b.agent.Tools = []string{"raed"}
	if _, err := b.run(t.Context()); !errors.Is(err, errdef.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	b = newBench(t, testllm.Script(testllm.Say("ok")))
	b.agent.Tools = []string{}
	b.succeed()
	if defs := b.llm.Requests()[0].Tools; len(defs) != 0 {
		t.Errorf("%d tools are offered", len(defs))
	}
}
