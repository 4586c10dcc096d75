package ollama

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/voidbox-run/voidbox/internal/claudecode"
	"github.com/voidbox-run/voidbox/internal/modelhttp"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

const (
	home = "http://127.0.0.1:11434"
	// defaultContext is enough for an agent's work, and takes a few GiB beside the model.
	defaultContext = 32 << 10
	minContext     = 2 << 10
)

// config is the plugin's block.
type config struct {
	modelhttp.Arguments
	NumCtx    int    `json:"num_ctx"`
	Think     string `json:"think"`
	KeepAlive string `json:"keep_alive"`
	Pull      bool   `json:"pull"`
}

// Model is the provider. It is of use once it is configured.
type Model struct {
	cfg     config
	base    string
	client  *modelhttp.Client
	backoff time.Duration // of tests

	pulling sync.Mutex // one at a time

	mu    sync.Mutex
	known map[string]model // by name; what /api/show said
}

// Plugin describes the plugin.
func Plugin() sdk.Plugin { return (&Model{}).plugin() }

func (m *Model) plugin() sdk.Plugin {
	return sdk.Plugin{
		Name:        "ollama",
		Version:     "0.1.0",
		Description: "Models that Ollama runs: the native loop, or Claude Code inside the sandbox (mode cli).",
		Env:         modelhttp.Env,
		Schema: base.Schema{Attributes: []base.Attribute{
			{Name: "base_url", Type: "string", Description: "The Ollama server; http://127.0.0.1:11434 by default."},
			{Name: "api_key", Type: "string", Sensitive: true, Description: "Key, for a server that wants one: a reference to a secret."},
			{Name: "num_ctx", Type: "number", Description: "Tokens of context that the model is loaded with; by default 32768, or what the model has if that is less. It costs memory."},
			{Name: "max_tokens", Type: "number", Description: "Tokens that the model may write in one turn; no limit by default."},
			{Name: "think", Type: "string", Description: "Reasoning: on, off, low, medium or high; the model's own default if not given."},
			{Name: "keep_alive", Type: "string", Description: "How long the model stays loaded after a turn, such as 30m; the server's default if not given."},
			{Name: "pull", Type: "bool", Description: "Whether a model that is not there is fetched, which may be many GB; false by default."},
			{Name: "max_retries", Type: "number", Description: "Further attempts when the server is busy or out of reach; 4 by default, 2 in Claude Code."},
			{Name: "idle_timeout", Type: "string", Description: "How long the server may send nothing before it is given up; 5m by default. Loading a large model takes its time."},
			{Name: "command", Type: "string", Description: "Claude Code inside the sandbox: a name or a path; claude by default."},
			{Name: "cli_env", Type: "map(string)", Description: "Further environment variables of Claude Code."},
		}},
		Configure: m.Configure,
		Drain:     func(context.Context) error { m.close(); return nil },
		LLM:       m,
	}
}

// Configure checks the block. Nothing is asked of the server yet.
func (m *Model) Configure(_ context.Context, c base.Config) error {
	if err := c.Decode(&m.cfg); err != nil {
		return err
	}
	if diags := m.check(); len(diags) > 0 {
		return diags
	}
	header := http.Header{"User-Agent": {"voidbox"}}
	if m.cfg.APIKey != "" {
		header.Set("Authorization", "Bearer "+m.cfg.APIKey)
	}
	m.known = map[string]model{}
	m.client = m.cfg.Client("Ollama", m.base, header, m.backoff)
	return nil
}

func (m *Model) check() (diags base.Diagnostics) {
	wrong := func(argument, summary, detail string) {
		diags = append(diags, modelhttp.Wrong(argument, summary, detail))
	}
	url := m.cfg.BaseURL
	if url == "" {
		url = home
	}
	var err error
	if m.base, err = modelhttp.BaseURL(url); err != nil {
		wrong("base_url", "Invalid URL", err.Error())
	}
	diags = append(diags, m.cfg.Check()...)
	if m.cfg.NumCtx != 0 && m.cfg.NumCtx < minContext {
		wrong("num_ctx", "Context too small", "num_ctx must be 2048 or more: the tools alone take most of that.")
	}
	if m.cfg.Think != "" && !slices.Contains([]string{"on", "off", "low", "medium", "high"}, m.cfg.Think) {
		wrong("think", "Unknown way of thinking", "think must be on, off, low, medium or high.")
	}
	if _, err := time.ParseDuration(m.cfg.KeepAlive); m.cfg.KeepAlive != "" && err != nil {
		wrong("keep_alive", "Invalid value", "keep_alive must be a time such as 30m.")
	}
	return diags
}

func (m *Model) close() {
	if m.client != nil {
		m.client.Close()
	}
}

// Describe lists the models that the server has. The newest that can call tools is the default.
func (m *Model) Describe(ctx context.Context) (llm.Description, error) {
	d := llm.Description{CLI: true, Interactive: true, Native: true, Dialect: "ollama-chat"}
	names, err := m.installed(ctx)
	if err != nil {
		return llm.Description{}, err
	}
	for _, name := range names {
		shown, err := m.show(ctx, name)
		if errors.Is(err, errdef.ErrNotFound) {
			continue // it went in between
		}
		if err != nil {
			return llm.Description{}, err
		}
		known := llm.Model{ID: name, ContextTokens: m.context(shown), MaxOutputTokens: m.cfg.MaxTokens, Tools: shown.tools}
		if !shown.remote {
			known.Price = &llm.Price{} // it runs on the user's own machine
		}
		d.Models = append(d.Models, known)
		if d.DefaultModel == "" && shown.tools {
			d.DefaultModel = name
		}
	}
	return d, nil
}

// PlanCLI starts Claude Code.
func (m *Model) PlanCLI(ctx context.Context, req llm.CLIRequest) (llm.CLIPlan, error) {
	name, err := m.choose(ctx, req.Model)
	if err != nil {
		return llm.CLIPlan{}, err
	}
	if _, err := m.ready(ctx, name, true, nil); err != nil {
		return llm.CLIPlan{}, err
	}
	req.Model = name
	opt := claudecode.Options{Command: m.cfg.Command, Upstream: m.base, Foreign: true, Env: m.cfg.CLIEnv, MaxRetries: m.cfg.MaxRetries}
	if m.cfg.APIKey != "" {
		opt.Credential = &llm.Credential{Name: "api_key", Upstream: m.base, Header: "authorization", Prefix: "Bearer "}
	} else if modelhttp.Loopback(m.base) {
		opt.Credential = &llm.Credential{Upstream: m.base}
	}
	return claudecode.Plan(req, opt)
}

// ParseCLI reads what Claude Code prints. It prices models that it takes for Anthropic's.
func (m *Model) ParseCLI(context.Context) (llm.Parser, error) {
	return claudecode.NewParser(claudecode.ParserOptions{IgnoreCost: true}), nil
}

// Complete asks /api/chat.
func (m *Model) Complete(ctx context.Context, req llm.Request, progress func(llm.Progress) error) (llm.Turn, error) {
	if len(req.Messages) == 0 {
		return llm.Turn{}, errdef.New(errdef.ErrInvalid, "the conversation is empty")
	}
	if progress == nil {
		progress = func(llm.Progress) error { return nil }
	}
	name, err := m.choose(ctx, req.Model)
	if err != nil {
		return llm.Turn{}, err
	}
	req.Model = name
	shown, err := m.ready(ctx, name, len(req.Tools) > 0, progress)
	if err != nil {
		return llm.Turn{}, err
	}
	body, err := m.encode(req, shown)
	if err != nil {
		return llm.Turn{}, err
	}
	var turn llm.Turn
	err = m.client.Do(ctx, modelhttp.Request{Method: http.MethodPost, Path: "/api/chat", Body: body, Model: name},
		func(r llm.Retry) error { return progress(llm.Progress{Retry: &r}) },
		func(from io.Reader) (err error) { turn, err = read(req, from, progress); return err })
	return turn, err
}
