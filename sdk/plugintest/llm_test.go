package plugintest_test

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/plugintest"
)

// cliOnly is the least provider of mode a that keeps the contract. It keeps the suite itself honest.
type cliOnly struct{}

func (cliOnly) Describe(context.Context) (llm.Description, error) {
	return llm.Description{CLI: true, Models: []llm.Model{{ID: "m"}}, DefaultModel: "m", Dialect: "lines"}, nil
}

func (cliOnly) PlanCLI(_ context.Context, r llm.CLIRequest) (llm.CLIPlan, error) {
	return llm.CLIPlan{
		Args: []string{"agent", "--system", r.System}, Stdin: []byte(r.Prompt),
		Env: map[string]string{"BASE_URL": r.BaseURL, "KEY": r.Placeholder}, Credentials: []llm.Credential{{Name: "key"}},
	}, nil
}

func (cliOnly) ParseCLI(context.Context) (llm.Parser, error) { return &lineParser{}, nil }

func (cliOnly) Complete(context.Context, llm.Request, func(llm.Progress) error) (llm.Turn, error) {
	return llm.Turn{}, errdef.ErrUnsupported
}

type lineParser struct{}

func (*lineParser) Line(line []byte) ([]llm.Event, error) {
	var e struct{ Type, ID, Text string }
	if json.Unmarshal(line, &e) != nil {
		return nil, nil
	}
	switch e.Type {
	case "init":
		return []llm.Event{llm.Init{Model: "m"}}, nil
	case "call":
		return []llm.Event{llm.ToolCall{ID: e.ID, Name: "Bash", Arguments: json.RawMessage("{}")}}, nil
	case "answer":
		return []llm.Event{llm.ToolResult{CallID: e.ID, Content: e.Text}}, nil
	case "end":
		return []llm.Event{llm.Text{Text: e.Text}, llm.Result{Text: e.Text, Turns: 1}}, nil
	}
	return nil, nil
}

func (*lineParser) Close() ([]llm.Event, error) { return nil, nil }

func TestLLMSuiteOnACommandLineProvider(t *testing.T) {
	plugintest.LLM(t, func(t *testing.T) llm.LLM {
		listener := bufconn.Listen(1 << 20)
		srv := grpc.NewServer()
		llm.Register(srv, cliOnly{})
		done := make(chan struct{})
		go func() { defer close(done); srv.Serve(listener) }()
		conn, err := grpc.NewClient("passthrough:suite", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(); srv.Stop(); <-done })
		return llm.NewClient(conn)
	}, plugintest.LLMOptions{Transcript: strings.Split(`{"type":"init"}
{"type":"call","id":"1"}
{"type":"answer","id":"1","text":"é"}
{"type":"end","text":"done"}`, "\n")})
}
