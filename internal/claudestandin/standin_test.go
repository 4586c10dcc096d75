package claudestandin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/voidbox-run/voidbox/internal/claudecode"
	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/internal/modelserver/modeltest"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// bash runs scripts on the host, in the test's own directory.
func bash(dir string) func(context.Context, string, []string, string) (string, int, error) {
	return func(ctx context.Context, script string, args []string, stdin string) (string, int, error) {
		cmd := exec.CommandContext(ctx, "bash", append([]string{"-c", script, "bash"}, args...)...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return string(out), exit.ExitCode(), nil
		}
		return string(out), 0, err
	}
}

func noBash(context.Context, string, []string, string) (string, int, error) {
	return "", 0, exec.ErrNotFound
}

func post(ctx context.Context, url string, header map[string]string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Close = true
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// run starts the stand-in as the plan of claudecode says, and reads it with claudecode's parser.
func run(t *testing.T, req llm.CLIRequest, change func(*Invocation)) (events []llm.Event, status int, stderr string) {
	t.Helper()
	p, err := claudecode.Plan(req, claudecode.Options{Upstream: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var out, errs bytes.Buffer
	in := Invocation{
		Args: p.Args[1:], Getenv: func(name string) string { return p.Env[name] }, Stdin: bytes.NewReader(p.Stdin), Stdout: &out, Stderr: &errs,
		Dir: dir, Shell: bash(dir), Post: post,
	}
	if change != nil {
		change(&in)
	}
	status = Main(t.Context(), in)
	parser := claudecode.NewParser(claudecode.ParserOptions{})
	for line := range bytes.Lines(out.Bytes()) {
		got, err := parser.Line(bytes.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, got...)
	}
	last, err := parser.Close()
	if err != nil {
		t.Fatal(err)
	}
	return append(events, last...), status, errs.String()
}

func resultOf(t *testing.T, events []llm.Event) llm.Result {
	t.Helper()
	if len(events) == 0 {
		t.Fatal("no events")
	}
	result, ok := events[len(events)-1].(llm.Result)
	if !ok {
		t.Fatalf("the last event is %+v", events[len(events)-1])
	}
	return result
}

func count[E llm.Event](events []llm.Event) (n int) {
	for _, e := range events {
		if _, ok := e.(E); ok {
			n++
		}
	}
	return n
}

func scenario(name string) llm.CLIRequest {
	return llm.CLIRequest{Prompt: "Do it.\nscenario: " + name, Model: "m", Placeholder: "ph", Home: "/home/x"}
}

func TestScenarios(t *testing.T) {
	events, status, _ := run(t, scenario("simple"), nil)
	if r := resultOf(t, events); status != 0 || r.Text != "Hello from the stand-in." || r.Turns != 1 || r.Usage.InputTokens != 100 || r.Usage.CostKnown {
		t.Errorf("simple: %d %+v", status, r)
	}
	events, status, _ = run(t, scenario("tools"), nil)
	r := resultOf(t, events)
	if status != 0 || !strings.HasPrefix(r.Text, "The file says found: Linux ") || count[llm.ToolCall](events) != 3 || count[llm.ToolResult](events) != 3 || r.Turns != 5 {
		t.Errorf("tools: %d %+v", status, r)
	}
	events, status, _ = run(t, scenario("error"), nil)
	if r := resultOf(t, events); status != 1 || !strings.Contains(r.Error, "Invalid API key") || count[llm.Retry](events) != 2 {
		t.Errorf("error: %d %+v", status, r)
	}
	events, status, _ = run(t, scenario("heavy"), nil)
	if r := resultOf(t, events); status != 0 || r.Text != "200 calls, 490 digits" || count[llm.ToolCall](events) != 200 {
		t.Errorf("heavy: %d %+v", status, r)
	}
	for _, name := range []string{"silent", "crash"} {
		if events, status, _ = run(t, scenario(name), nil); status != 3 || count[llm.Result](events) != 0 {
			t.Errorf("%s: %d %+v", name, status, events)
		}
	}
	if _, status, said := run(t, scenario("nonsense"), nil); status != 1 || !strings.Contains(said, "no scenario") {
		t.Errorf("nonsense: %d %s", status, said)
	}
}

func TestRefusals(t *testing.T) {
	limited := scenario("tools")
	limited.MaxTurns = 2
	events, status, _ := run(t, limited, nil)
	if r := resultOf(t, events); status != 1 || !strings.Contains(r.Error, "limit of turns") {
		t.Errorf("turns: %d %+v", status, r)
	}
	events, _, _ = run(t, scenario("simple"), func(in *Invocation) { in.Getenv = func(string) string { return "" } })
	if r := resultOf(t, events); !strings.Contains(r.Error, "/login") {
		t.Errorf("no key: %+v", r)
	}
	_, status, said := run(t, scenario("simple"), func(in *Invocation) {
		in.Root, in.Getenv = true, func(string) string { return "" }
	})
	if status != 1 || !strings.Contains(said, "root") {
		t.Errorf("root: %d %s", status, said)
	}
	events, _, _ = run(t, scenario("tools"), func(in *Invocation) { in.Shell = noBash })
	if r := resultOf(t, events); r.Error == "" {
		t.Errorf("no bash: %+v", r)
	}
	if _, status, _ := run(t, scenario("simple"), func(in *Invocation) { in.Args = []string{"--help"} }); status != 1 {
		t.Errorf("--help: %d", status)
	}
}

func TestModel(t *testing.T) {
	s, url := modeltest.Serve(t, modelserver.Config{Key: "ph", Rules: []modelserver.Rule{
		{Match: "nonce", Call: "Bash", Arguments: `{"command": "echo nonce=$((40 + 2)) > f; cat f"}`}, {Tool: "Bash", Match: `nonce=(\w+)`, Say: "it is ${1}"},
	}})
	req := llm.CLIRequest{Prompt: "find the nonce", System: "SYSTEM", Model: "m", Placeholder: "ph", BaseURL: url, Home: "/home/x"}
	events, status, _ := run(t, req, nil)
	if r := resultOf(t, events); status != 0 || r.Text != "it is 42" || r.Turns != 2 || r.Usage.InputTokens == 0 {
		t.Errorf("%d %+v", status, r)
	}
	if sent := string(s.Received()[0].Body); !strings.Contains(sent, "SYSTEM") {
		t.Errorf("sent %s", sent)
	}
	req.Placeholder = "wrong"
	events, status, _ = run(t, req, nil)
	if r := resultOf(t, events); status != 1 || !strings.Contains(r.Error, "401 invalid x-api-key") || count[llm.Retry](events) != 1 {
		t.Errorf("a wrong key: %d %+v", status, r)
	}
	events, _, _ = run(t, req, func(in *Invocation) { in.Post = nil })
	if r := resultOf(t, events); !strings.Contains(r.Error, "no network") {
		t.Errorf("no network: %+v", r)
	}
	if _, err := os.Stat("f"); err == nil {
		t.Error("the command ran in the directory of the package")
	}
}
