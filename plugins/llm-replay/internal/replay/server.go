package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/voidbox-run/voidbox/internal/modelserver"
	"github.com/voidbox-run/voidbox/plugins/llm-replay/internal/cassette"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// server asks a scripted model server.
type server struct {
	base   string // URL without a slash at its end
	client *http.Client
}

// newServer takes http://host:port, or unix:/path of a socket.
func newServer(address string) (*server, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("the path of the socket in %q must be absolute", address)
		}
		return &server{base: "http://model", client: client(func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		})}, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is neither http://host:port nor unix:/path", address)
	}
	return &server{base: strings.TrimSuffix(address, "/"), client: client(nil)}, nil
}

// client holds no connection open between two turns, and takes no proxy from the environment.
func client(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

func (s *server) describe() llm.Model { return llm.Model{ID: "scripted", Tools: true} }

func (s *server) next(ctx context.Context, req llm.Request) (cassette.Step, error) {
	body, err := json.Marshal(requestOf(req))
	if err != nil {
		return cassette.Step{}, errdef.New(errdef.ErrInvalid, "encode the conversation: %w", err)
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+modelserver.Path, bytes.NewReader(body))
	if err != nil {
		return cassette.Step{}, err
	}
	post.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(post)
	if err != nil {
		if ctx.Err() != nil {
			return cassette.Step{}, ctx.Err()
		}
		return cassette.Step{}, errdef.New(errdef.ErrUnavailable, "ask the model server: %w", err).WithRemedy("start the server, or mend its address in the llm block")
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, modelserver.MaxBytes))
	if err != nil {
		return cassette.Step{}, errdef.New(errdef.ErrUnavailable, "read the model server's answer: %w", err)
	}
	if resp.StatusCode > 299 {
		return cassette.Step{}, refusal(resp.StatusCode, text)
	}
	var turn modelserver.Turn
	if err := json.Unmarshal(text, &turn); err != nil {
		return cassette.Step{}, errdef.New(errdef.ErrDataLoss, "the model server's answer is no turn: %w", err)
	}
	return cassette.Step{Turn: turnOf(turn)}, nil
}

func refusal(status int, text []byte) error {
	var problem modelserver.Problem
	if json.Unmarshal(text, &problem) != nil || problem.Error == "" {
		problem.Error = http.StatusText(status)
	}
	kind := errdef.ErrInvalid
	if status >= 500 {
		kind = errdef.ErrUnavailable
	}
	return errdef.New(kind, "the model server answers with status %d: %.2000s", status, problem.Error)
}

func requestOf(req llm.Request) modelserver.Request {
	out := modelserver.Request{Conversation: req.Conversation, Model: req.Model, System: req.System}
	for _, m := range req.Messages {
		message := modelserver.Message{Role: string(m.Role)}
		var texts []string
		for _, p := range m.Parts {
			switch {
			case p.ToolCall != nil:
				message.Calls = append(message.Calls, callOf(*p.ToolCall))
			case p.ToolResult != nil:
				message.Results = append(message.Results, modelserver.ToolResult{
					CallID: p.ToolResult.CallID, Content: p.ToolResult.Content, Error: p.ToolResult.Error,
				})
			case p.Text != "":
				texts = append(texts, p.Text)
			}
		}
		message.Text = strings.Join(texts, "\n")
		out.Messages = append(out.Messages, message)
	}
	for _, t := range req.Tools {
		out.Tools = append(out.Tools, modelserver.Tool{Name: t.Name, Description: t.Description, InputSchema: t.InputSchema})
	}
	return out
}

// callOf keeps malformed arguments as a JSON string.
func callOf(c llm.ToolCall) modelserver.ToolCall {
	arguments := c.Arguments
	if !json.Valid(arguments) {
		arguments, _ = json.Marshal(string(arguments))
	}
	return modelserver.ToolCall{ID: c.ID, Name: c.Name, Arguments: arguments}
}

func turnOf(t modelserver.Turn) llm.Turn {
	turn := llm.Turn{
		Message: llm.Message{Role: llm.Assistant}, StopReason: llm.EndTurn,
		Usage: llm.Usage{InputTokens: t.Usage.InputTokens, OutputTokens: t.Usage.OutputTokens},
	}
	if t.Text != "" {
		turn.Message.Parts = append(turn.Message.Parts, llm.Part{Text: t.Text})
	}
	for _, c := range t.Calls {
		turn.StopReason = llm.ToolUse
		turn.Message.Parts = append(turn.Message.Parts, llm.Part{ToolCall: &llm.ToolCall{ID: c.ID, Name: c.Name, Arguments: c.Arguments}})
	}
	return turn
}
