// Package replay is the LLM contract over a cassette or a scripted model server.
package replay

import (
	"context"
	"strings"

	"github.com/voidbox-run/voidbox/plugins/llm-replay/internal/cassette"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// config is the plugin's block.
type config struct {
	Cassette string   `json:"cassette"`
	Server   string   `json:"server"`
	Stream   *bool    `json:"stream"`
	Input    *float64 `json:"input_price"`
	Output   *float64 `json:"output_price"`
}

// source makes turns.
type source interface {
	describe() llm.Model
	next(ctx context.Context, req llm.Request) (cassette.Step, error)
}

// Model is the provider. It is of use once it is configured.
type Model struct {
	source source
	model  llm.Model
	stream bool
}

// Plugin describes the plugin.
func Plugin() sdk.Plugin {
	m := &Model{}
	return sdk.Plugin{
		Name:        "replay",
		Version:     "0.1.0",
		Description: "Plays recorded conversations, or asks a scripted model server.",
		Schema: base.Schema{Attributes: []base.Attribute{
			{Name: "cassette", Type: "path", Description: "File of recorded conversations. Either this or server is needed."},
			{Name: "server", Type: "string", Description: "Scripted model server: http://host:port, or unix:/path of its socket."},
			{Name: "stream", Type: "bool", Description: "Whether texts arrive in pieces before they arrive whole; true by default."},
			{Name: "input_price", Type: "number", Description: "US dollars for a million tokens read; stronger than the cassette's price."},
			{Name: "output_price", Type: "number", Description: "US dollars for a million tokens written."},
		}},
		Configure: m.Configure,
		LLM:       m,
	}
}

// Configure reads the cassette, or prepares to ask the server.
func (m *Model) Configure(_ context.Context, c base.Config) error {
	var cfg config
	if err := c.Decode(&cfg); err != nil {
		return err
	}
	switch {
	case cfg.Cassette != "" && cfg.Server != "":
		return wrong("server", "Both cassette and server are set", "Take one of them out.")
	case cfg.Cassette != "":
		tape, err := cassette.Load(cfg.Cassette)
		if err != nil {
			return wrong("cassette", "The cassette cannot be played", err.Error())
		}
		m.source = tapeSource{tape, cassette.NewPlayer(tape)}
	case cfg.Server != "":
		server, err := newServer(cfg.Server)
		if err != nil {
			return wrong("server", "The server's address is wrong", err.Error())
		}
		m.source = server
	default:
		return wrong("cassette", "Nothing to play", "Set cassette to a file of recorded conversations, or server to a scripted model server.")
	}
	m.model = m.source.describe()
	return m.configurePrice(cfg)
}

func (m *Model) configurePrice(cfg config) error {
	m.stream = cfg.Stream == nil || *cfg.Stream
	if (cfg.Input == nil) != (cfg.Output == nil) {
		return wrong("input_price", "Half a price", "Set both input_price and output_price, or neither.")
	}
	if cfg.Input == nil {
		return nil
	}
	if *cfg.Input < 0 || *cfg.Output < 0 {
		return wrong("input_price", "The price is negative", "Prices are in US dollars for a million tokens, 0 or more.")
	}
	m.model.Price = &llm.Price{Input: *cfg.Input, Output: *cfg.Output, CacheRead: *cfg.Input, CacheWrite: *cfg.Input}
	return nil
}

func wrong(argument, summary, detail string) error {
	return base.Diagnostics{{Severity: base.Error, Summary: summary, Detail: detail, Path: []string{argument}}}
}

// Describe says that there is one model, for the native loop.
func (m *Model) Describe(context.Context) (llm.Description, error) {
	return llm.Description{Native: true, Models: []llm.Model{m.model}, DefaultModel: m.model.ID, Dialect: "replay"}, nil
}

// PlanCLI is not supported.
func (m *Model) PlanCLI(context.Context, llm.CLIRequest) (llm.CLIPlan, error) {
	return llm.CLIPlan{}, errdef.New(errdef.ErrUnsupported, "the replay provider has no command-line agent")
}

// ParseCLI is not supported.
func (m *Model) ParseCLI(context.Context) (llm.Parser, error) {
	return nil, errdef.New(errdef.ErrUnsupported, "the replay provider has no command-line agent")
}

// Complete speaks the next turn.
func (m *Model) Complete(ctx context.Context, req llm.Request, progress func(llm.Progress) error) (llm.Turn, error) {
	if progress == nil {
		progress = func(llm.Progress) error { return nil }
	}
	if len(req.Messages) == 0 {
		return llm.Turn{}, errdef.New(errdef.ErrInvalid, "the conversation is empty")
	}
	step, err := m.source.next(ctx, req)
	if err != nil {
		return llm.Turn{}, err
	}
	if turn := step.Recorded; turn != nil {
		for i, reason := range turn.Retries {
			if err := progress(llm.Progress{Retry: &llm.Retry{Attempt: i + 1, Reason: reason}}); err != nil {
				return llm.Turn{}, err
			}
		}
		if turn.Hang {
			<-ctx.Done()
			return llm.Turn{}, ctx.Err()
		}
		if err := turn.Err(); err != nil {
			return llm.Turn{}, err
		}
	}
	if err := m.say(ctx, step, progress); err != nil {
		return llm.Turn{}, err
	}
	step.Turn.Usage = m.price(step.Turn.Usage)
	step.Turn.Model = m.model.ID
	return step.Turn, nil
}

// say sends the reasoning, and the text in pieces.
func (m *Model) say(ctx context.Context, step cassette.Step, progress func(llm.Progress) error) error {
	if !m.stream {
		return nil
	}
	pieces := []llm.Text{}
	for piece := range strings.SplitAfterSeq(step.Thinking, " ") {
		pieces = append(pieces, llm.Text{Text: piece, Thinking: true, Partial: true})
	}
	for _, part := range step.Turn.Message.Parts {
		for piece := range strings.SplitAfterSeq(part.Text, " ") {
			pieces = append(pieces, llm.Text{Text: piece, Partial: true})
		}
	}
	for _, piece := range pieces {
		if piece.Text == "" {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := progress(llm.Progress{Delta: &piece}); err != nil {
			return err
		}
	}
	return nil
}

// price fills in what a turn cost, where it is not recorded and the price is known.
func (m *Model) price(u llm.Usage) llm.Usage {
	p := m.model.Price
	if u.CostKnown || p == nil {
		return u
	}
	const million = 1e6
	u.CostKnown = true
	u.CostUSD = (float64(u.InputTokens)*p.Input + float64(u.OutputTokens)*p.Output +
		float64(u.CacheReadTokens)*p.CacheRead + float64(u.CacheWriteTokens)*p.CacheWrite) / million
	return u
}

// tapeSource plays a cassette.
type tapeSource struct {
	tape   *cassette.Cassette
	player *cassette.Player
}

func (t tapeSource) describe() llm.Model { return t.tape.Describe() }

func (t tapeSource) next(_ context.Context, req llm.Request) (cassette.Step, error) {
	return t.player.Next(req)
}
