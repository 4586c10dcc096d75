package llm_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial serves what register registers, in this process, and returns a connection to it.
func dial(t *testing.T, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	const limit = 64 << 20
	listener := bufconn.Listen(1 << 20)
	srv := grpc.NewServer(grpc.MaxRecvMsgSize(limit))
	register(srv)
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:wire",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(limit)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); srv.Stop(); <-done })
	return conn
}

// fake answers with what its fields say and keeps what it was asked.
type fake struct {
	description llm.Description
	plan        llm.CLIPlan
	events      []llm.Event
	progress    []llm.Progress
	turn        llm.Turn
	err         error

	gotCLI     llm.CLIRequest
	gotRequest llm.Request
	gotLines   []string
	gotError   error // what progress returned
}

func (f *fake) Describe(context.Context) (llm.Description, error) { return f.description, f.err }

func (f *fake) PlanCLI(_ context.Context, r llm.CLIRequest) (llm.CLIPlan, error) {
	f.gotCLI = r
	return f.plan, f.err
}

func (f *fake) ParseCLI(context.Context) (llm.Parser, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f, nil
}

func (f *fake) Line(line []byte) ([]llm.Event, error) {
	f.gotLines = append(f.gotLines, string(line))
	return f.events, nil
}

func (f *fake) Close() ([]llm.Event, error) { return []llm.Event{llm.Result{Text: "closed"}}, nil }

func (f *fake) Complete(ctx context.Context, r llm.Request, progress func(llm.Progress) error) (llm.Turn, error) {
	f.gotRequest = r
	for _, p := range f.progress {
		if f.gotError = progress(p); f.gotError != nil {
			return llm.Turn{}, f.gotError
		}
	}
	return f.turn, f.err
}

func connect(t *testing.T, f *fake) llm.LLM {
	return llm.NewClient(dial(t, func(s *grpc.Server) { llm.Register(s, f) }))
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s differs\ngot  %#v\nwant %#v", what, got, want)
	}
}

var answer = llm.Turn{
	Message: llm.Message{Role: llm.Assistant, Parts: []llm.Part{
		{Opaque: []byte{0, 255}}, {Text: "look"},
		{ToolCall: &llm.ToolCall{ID: "a", Name: "bash", Arguments: json.RawMessage(`{"command": "ls",`)}},
	}},
	Usage:      llm.Usage{InputTokens: 1, OutputTokens: 2, CacheReadTokens: 3, CacheWriteTokens: 4, CostUSD: 0.5, CostKnown: true},
	StopReason: llm.ToolUse,
	Model:      "m",
}

func TestEverythingSurvivesTheWire(t *testing.T) {
	temperature := 0.25
	f := &fake{
		description: llm.Description{CLI: true, Native: true, DefaultModel: "m", Dialect: "d", PriceList: "v", Models: []llm.Model{
			{ID: "m", ContextTokens: 5, MaxOutputTokens: 6, Tools: true, Price: &llm.Price{Input: 1, Output: 2, CacheRead: 3, CacheWrite: 4}}, {ID: "n"},
		}},
		plan: llm.CLIPlan{
			Args: []string{"claude", "-p"}, Env: map[string]string{"A": "b"}, Stdin: []byte("in"),
			Files:       []llm.File{{Path: "/f", Content: []byte{1}, Mode: 0o600}},
			Credentials: []llm.Credential{{Name: "key", Upstream: "https://x", Header: "h", Prefix: "Bearer "}},
			Hosts:       []string{"x:443"}, Programs: []string{"bash"},
		},
		progress: []llm.Progress{
			{Retry: &llm.Retry{Attempt: 2, Reason: "busy", Delay: 1500 * time.Millisecond}},
			{Delta: &llm.Text{Text: "lo", Partial: true}}, {Delta: &llm.Text{Text: "hm", Thinking: true, Partial: true}},
		},
		turn: answer,
		events: []llm.Event{
			llm.Init{Model: "m", Tools: []string{"bash"}, Skills: []string{"s"}, Session: "1"}, llm.Text{Text: "t", Thinking: true},
			llm.ToolCall{ID: "a", Name: "n", Arguments: json.RawMessage(`{}`)}, llm.ToolResult{CallID: "a", Content: "c", Error: true},
			llm.Retry{Attempt: 1, Reason: "r", Delay: time.Second}, llm.Usage{InputTokens: 1},
			llm.Result{Text: "t", Error: "e", Turns: 2, Usage: llm.Usage{OutputTokens: 3}},
		},
	}
	c := connect(t, f)
	ctx := t.Context()

	d, err := c.Describe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "description", d, f.description)

	cli := llm.CLIRequest{Prompt: "p", System: "s", Model: "m", BaseURL: "http://b", Placeholder: "k", MaxTurns: 7, Home: "/h", WorkingDir: "/w", Interactive: true,
		MCPServers: []llm.MCPServer{{Name: "a", Command: []string{"x", "y"}, Env: map[string]string{"E": "1"}}, {Name: "b", URL: "http://m"}}}
	p, err := c.PlanCLI(ctx, cli)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "plan request", f.gotCLI, cli)
	same(t, "plan", p, f.plan)

	parser, err := c.ParseCLI(ctx)
	if err != nil {
		t.Fatal(err)
	}
	events, err := parser.Line([]byte("one\xff"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "events", events, f.events)
	last, err := parser.Close()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "last events", last, []llm.Event{llm.Result{Text: "closed"}})
	same(t, "lines", f.gotLines, []string{"one\xff"})

	req := llm.Request{Conversation: "c", Model: "m", System: "s", MaxOutputTokens: 9, Temperature: &temperature,
		Messages: []llm.Message{
			{Role: llm.User, Parts: []llm.Part{{Text: "hello"}}}, answer.Message,
			{Role: llm.User, Parts: []llm.Part{{ToolResult: &llm.ToolResult{CallID: "a", Content: "out", Error: true}}}},
		},
		Tools: []llm.Tool{{Name: "bash", Description: "d", InputSchema: json.RawMessage(`{"type":"object"}`)}}}
	var progress []llm.Progress
	turn, err := c.Complete(ctx, req, func(p llm.Progress) error { progress = append(progress, p); return nil })
	if err != nil {
		t.Fatal(err)
	}
	same(t, "request", f.gotRequest, req)
	same(t, "progress", progress, f.progress)
	same(t, "turn", turn, f.turn)
}

func TestInvalidUTF8OfAGuestIsReplacedNotRefused(t *testing.T) {
	f := &fake{turn: answer}
	_, err := connect(t, f).Complete(t.Context(), llm.Request{Messages: []llm.Message{
		{Role: llm.User, Parts: []llm.Part{{ToolResult: &llm.ToolResult{CallID: "a", Content: "x\xffy"}}}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.gotRequest.Messages[0].Parts[0].ToolResult.Content; got != "x\uFFFDy" {
		t.Errorf("got %q", got)
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	f := &fake{err: errdef.New(errdef.ErrUnsupported, "no").WithRemedy("do this"), turn: answer}
	c := connect(t, f)
	ctx := t.Context()
	_, e1 := c.Describe(ctx)
	_, e2 := c.PlanCLI(ctx, llm.CLIRequest{})
	_, e3 := c.Complete(ctx, request, nil)
	p, e4 := c.ParseCLI(ctx)
	if e4 == nil {
		_, e4 = p.Line([]byte("x"))
	}
	for i, err := range []error{e1, e2, e3, e4} {
		if !errors.Is(err, errdef.ErrUnsupported) || errdef.Remedy(err) != "do this" {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

var request = llm.Request{Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Text: "x"}}}}}

func TestErrorOfProgressEndsTheCall(t *testing.T) {
	stop := errors.New("enough")
	f := &fake{turn: answer, progress: []llm.Progress{{Delta: &llm.Text{Text: "a"}}}}
	if _, err := connect(t, f).Complete(t.Context(), request, func(llm.Progress) error { return stop }); !errors.Is(err, stop) {
		t.Fatalf("got %v", err)
	}
}

func TestCancelledCallIsACancelledError(t *testing.T) {
	f := &fake{turn: answer, progress: []llm.Progress{{Delta: &llm.Text{Text: "a"}}}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := connect(t, f).Complete(ctx, request, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestBadRequestsStopAtTheServer(t *testing.T) {
	parts := func(p ...llm.Part) llm.Request {
		return llm.Request{Messages: []llm.Message{{Role: llm.User, Parts: p}}}
	}
	for name, req := range map[string]llm.Request{
		"no messages":         {},
		"unknown role":        {Messages: []llm.Message{{Role: "system"}}},
		"two fields":          parts(llm.Part{Text: "a", Opaque: []byte{1}}),
		"call without id":     parts(llm.Part{ToolCall: &llm.ToolCall{Name: "n"}}),
		"result without call": parts(llm.Part{ToolResult: &llm.ToolResult{}}),
		"too many parts":      parts(make([]llm.Part, llm.MaxParts+1)...),
		"too many tools":      {Messages: request.Messages, Tools: make([]llm.Tool, llm.MaxTools+1)},
	} {
		f := &fake{turn: answer}
		if _, err := connect(t, f).Complete(t.Context(), req, nil); !errors.Is(err, errdef.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if f.gotRequest.Messages != nil {
			t.Errorf("%s: reached the provider", name)
		}
	}
}

// hostile is a plugin that sends what it likes.
type hostile struct {
	pluginv1.UnimplementedLLMServer
	answers []*pluginv1.CompleteResponse
	plan    *pluginv1.PlanCLIResponse
	models  *pluginv1.DescribeLLMResponse
	parsed  []*pluginv1.ParseCLIResponse
}

func (h *hostile) Complete(_ *pluginv1.CompleteRequest, s grpc.ServerStreamingServer[pluginv1.CompleteResponse]) error {
	for _, a := range h.answers {
		if err := s.Send(a); err != nil {
			return err
		}
	}
	return nil
}

func (h *hostile) PlanCLI(context.Context, *pluginv1.PlanCLIRequest) (*pluginv1.PlanCLIResponse, error) {
	return h.plan, nil
}

func (h *hostile) DescribeLLM(context.Context, *pluginv1.DescribeLLMRequest) (*pluginv1.DescribeLLMResponse, error) {
	return h.models, nil
}

func (h *hostile) ParseCLI(s grpc.BidiStreamingServer[pluginv1.ParseCLIRequest, pluginv1.ParseCLIResponse]) error {
	for _, r := range h.parsed {
		if err := s.Send(r); err != nil {
			return err
		}
	}
	return nil
}

func turnOf(t *pluginv1.Turn) *pluginv1.CompleteResponse {
	return &pluginv1.CompleteResponse{Message: &pluginv1.CompleteResponse_Turn{Turn: t}}
}

func assistant(parts ...*pluginv1.Part) *pluginv1.Message {
	return &pluginv1.Message{Role: pluginv1.Message_ROLE_ASSISTANT, Parts: parts}
}

func call(id, name string) *pluginv1.Part {
	return &pluginv1.Part{Part: &pluginv1.Part_ToolCall{ToolCall: &pluginv1.ToolCall{Id: id, Name: name}}}
}

func TestHostilePluginIsCaught(t *testing.T) {
	good := &pluginv1.Turn{Message: assistant()}
	big := &pluginv1.Part{Part: &pluginv1.Part_Text{Text: strings.Repeat("x", llm.MaxTurnBytes+1)}}
	many := make([]*pluginv1.Part, llm.MaxParts+1)
	for i := range many {
		many[i] = &pluginv1.Part{Part: &pluginv1.Part_Text{Text: "x"}}
	}
	list := func(a ...*pluginv1.CompleteResponse) []*pluginv1.CompleteResponse { return a }
	for name, answers := range map[string][]*pluginv1.CompleteResponse{
		"no turn":            nil,
		"two turns":          list(turnOf(good), turnOf(good)),
		"empty answer":       list(&pluginv1.CompleteResponse{}),
		"turn without body":  list(turnOf(nil)),
		"turn of the user":   list(turnOf(&pluginv1.Turn{Message: &pluginv1.Message{Role: pluginv1.Message_ROLE_USER}})),
		"part of nothing":    list(turnOf(&pluginv1.Turn{Message: assistant(&pluginv1.Part{})})),
		"too large":          list(turnOf(&pluginv1.Turn{Message: assistant(big)})),
		"too many parts":     list(turnOf(&pluginv1.Turn{Message: assistant(many...)})),
		"call without name":  list(turnOf(&pluginv1.Turn{Message: assistant(call("a", ""))})),
		"call with long id":  list(turnOf(&pluginv1.Turn{Message: assistant(call(strings.Repeat("i", 300), "n"))})),
		"same id twice":      list(turnOf(&pluginv1.Turn{Message: assistant(call("a", "n"), call("a", "n"))})),
		"result in turn":     list(turnOf(&pluginv1.Turn{Message: assistant(&pluginv1.Part{Part: &pluginv1.Part_ToolResult{ToolResult: &pluginv1.ToolResult{CallId: "a"}}})})),
		"cost not a number":  list(turnOf(&pluginv1.Turn{Message: assistant(), Usage: &pluginv1.Usage{CostUsd: math.NaN()}})),
		"negative cost":      list(turnOf(&pluginv1.Turn{Message: assistant(), Usage: &pluginv1.Usage{CostUsd: -1}})),
		"overflowing tokens": list(turnOf(&pluginv1.Turn{Message: assistant(), Usage: &pluginv1.Usage{InputTokens: math.MaxUint64}})),
	} {
		h := &hostile{answers: answers}
		c := llm.NewClient(dial(t, func(s *grpc.Server) { pluginv1.RegisterLLMServer(s, h) }))
		if turn, err := c.Complete(t.Context(), request, nil); !errors.Is(err, errdef.ErrDataLoss) {
			t.Errorf("%s: turn %v, error %v", name, turn, err)
		}
	}
}

func TestHostilePlanModelsAndParser(t *testing.T) {
	h := &hostile{
		plan:   &pluginv1.PlanCLIResponse{},
		models: &pluginv1.DescribeLLMResponse{Models: []*pluginv1.ModelInfo{{Id: "m", Price: &pluginv1.Price{Input: math.Inf(1)}}}},
		parsed: []*pluginv1.ParseCLIResponse{{Events: []*pluginv1.AgentEvent{{}}}},
	}
	c := llm.NewClient(dial(t, func(s *grpc.Server) { pluginv1.RegisterLLMServer(s, h) }))
	if _, err := c.PlanCLI(t.Context(), llm.CLIRequest{}); !errors.Is(err, errdef.ErrDataLoss) {
		t.Errorf("plan without a command: %v", err)
	}
	if _, err := c.Describe(t.Context()); !errors.Is(err, errdef.ErrDataLoss) {
		t.Errorf("infinite price: %v", err)
	}
	p, err := c.ParseCLI(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Line([]byte("x")); !errors.Is(err, errdef.ErrDataLoss) {
		t.Errorf("event of nothing: %v", err)
	}
	if _, err := p.Line([]byte("x")); !errors.Is(err, errdef.ErrState) {
		t.Errorf("line after a broken stream: %v", err)
	}
}

func TestFileModesLoseTheirType(t *testing.T) {
	f := &fake{plan: llm.CLIPlan{Args: []string{"x"}, Files: []llm.File{{Path: "/f", Mode: fs.ModeSetuid | 0o755}}}}
	p, err := connect(t, f).PlanCLI(t.Context(), llm.CLIRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Files[0].Mode != 0o755 {
		t.Errorf("mode %v", p.Files[0].Mode)
	}
}
