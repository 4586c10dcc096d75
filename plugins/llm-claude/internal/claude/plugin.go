package claude

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/internal/claudecode"
	"github.com/voidbox-run/voidbox/internal/modelhttp"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// home is where Anthropic's own API is.
const home = "https://api.anthropic.com"

// config is the plugin's block.
type config struct {
	modelhttp.Arguments
	Thinking       string `json:"thinking"`
	ThinkingTokens int    `json:"thinking_tokens"`
	Effort         string `json:"effort"`
	PromptCache    *bool  `json:"prompt_cache"`
	CommandFile    string `json:"command_file"`
}

// Model is the provider. It is of use once it is configured.
type Model struct {
	cfg     config
	base    string
	program []byte // of command_file
	client  *modelhttp.Client
	backoff time.Duration // of tests
}

// Plugin describes the plugin.
func Plugin() sdk.Plugin { return (&Model{}).plugin() }

func (m *Model) plugin() sdk.Plugin {
	return sdk.Plugin{
		Name:        "claude",
		Version:     "0.1.0",
		Description: "Anthropic's models: Claude Code inside the sandbox (mode cli), or the Messages API (mode native).",
		Env:         modelhttp.Env,
		Schema: base.Schema{Attributes: []base.Attribute{
			{Name: "api_key", Type: "string", Sensitive: true, Description: "Key of the Anthropic API: a reference to a secret. Needed unless base_url names a server that wants none."},
			{Name: "base_url", Type: "string", Description: "Server that speaks the Messages API; https://api.anthropic.com by default. Paths such as /v1/messages come after it."},
			{Name: "max_tokens", Type: "number", Description: "Tokens that the model may write in one turn; by default what the model can."},
			{Name: "thinking", Type: "string", Description: "Reasoning in the native loop: off (the default), adaptive, or enabled, which needs thinking_tokens."},
			{Name: "thinking_tokens", Type: "number", Description: "Tokens for the reasoning of one turn, with thinking = \"enabled\"; at least 1024."},
			{Name: "effort", Type: "string", Description: "How much the model is to spend on an answer: low, medium, high or max; the model's own default if not given."},
			{Name: "prompt_cache", Type: "bool", Description: "Whether the provider may keep the conversation so far, which makes long ones several times cheaper; true by default."},
			{Name: "max_retries", Type: "number", Description: "Further attempts when the provider is overloaded or out of reach; 4 by default, 2 in Claude Code."},
			{Name: "idle_timeout", Type: "string", Description: "How long the provider may send nothing before it is given up, such as 90s; 5m by default."},
			{Name: "command", Type: "string", Description: "Claude Code inside the sandbox: a name or a path; claude by default."},
			{Name: "command_file", Type: "path", Description: "A static program of the host that is copied into the sandbox and used in place of command, such as the stand-in for tests; at most 15 MiB."},
			{Name: "cli_env", Type: "map(string)", Description: "Further environment variables of Claude Code."},
		}},
		Configure: m.Configure,
		Drain:     func(context.Context) error { m.close(); return nil },
		LLM:       m,
	}
}

// Configure checks the block. Nothing is asked of the provider yet.
func (m *Model) Configure(_ context.Context, c base.Config) error {
	if err := c.Decode(&m.cfg); err != nil {
		return err
	}
	if diags := m.check(); len(diags) > 0 {
		return diags
	}
	header := http.Header{"Anthropic-Version": {"2023-06-01"}, "User-Agent": {"voidbox"}}
	if m.cfg.APIKey != "" {
		header["X-Api-Key"] = []string{m.cfg.APIKey}
	}
	m.client = m.cfg.Client(m.name(), m.base, header, m.backoff)
	return nil
}

// name of the server, for messages.
func (m *Model) name() string { return modelhttp.Foreign("Anthropic", home, m.base) }

func (m *Model) check() (diags base.Diagnostics) {
	wrong := func(argument, summary, detail string) {
		diags = append(diags, modelhttp.Wrong(argument, summary, detail))
	}
	url := m.cfg.BaseURL
	if url == "" {
		url = home
	}
	clean, err := modelhttp.BaseURL(url)
	if err != nil {
		wrong("base_url", "Invalid URL", err.Error())
	}
	m.base = strings.TrimSuffix(clean, "/v1")
	diags = append(diags, m.cfg.Check()...)
	if m.base == home && m.cfg.APIKey == "" {
		wrong("api_key", "No key for Anthropic", modelhttp.NoKey("ANTHROPIC_API_KEY", "anthropic"))
	}
	switch m.cfg.Thinking {
	case "", "off", "adaptive":
	case "enabled":
		if m.cfg.ThinkingTokens < 1024 {
			wrong("thinking_tokens", "No tokens for thinking", `thinking = "enabled" needs thinking_tokens of 1024 or more.`)
		}
	default:
		wrong("thinking", "Unknown way of thinking", "thinking must be off, adaptive or enabled.")
	}
	if m.cfg.ThinkingTokens != 0 && m.cfg.Thinking != "enabled" {
		wrong("thinking_tokens", "Tokens for no thinking", `thinking_tokens is of use with thinking = "enabled" only.`)
	}
	if m.cfg.CommandFile != "" {
		m.program, err = readProgram(m.cfg.CommandFile)
	}
	if m.cfg.CommandFile != "" && (err != nil || m.cfg.Command != "") {
		wrong("command_file", "Unusable program", fmt.Sprint("command_file cannot be used: ", cmp.Or(err, errors.New("command is set too"))))
	}
	return diags
}

// maxProgram leaves room for the rest of a plan.
const maxProgram = 15 << 20

func readProgram(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxProgram+1))
	if err == nil && len(text) > maxProgram {
		err = fmt.Errorf("%s is larger than %d MiB; use an image that holds it, and command", name, maxProgram>>20)
	}
	return text, err
}

func (m *Model) close() {
	if m.client != nil {
		m.client.Close()
	}
}

// Describe says what the table of models says. It asks nobody.
func (m *Model) Describe(context.Context) (llm.Description, error) {
	d := llm.Description{CLI: true, Interactive: true, Native: true, DefaultModel: defaultModel, Dialect: "anthropic-messages"}
	if m.base == home {
		d.PriceList = priceList
	}
	for _, known := range models {
		if m.cfg.MaxTokens > 0 {
			known.MaxOutputTokens = min(known.MaxOutputTokens, m.cfg.MaxTokens)
		}
		d.Models = append(d.Models, known)
	}
	return d, nil
}

// PlanCLI starts Claude Code.
func (m *Model) PlanCLI(_ context.Context, req llm.CLIRequest) (llm.CLIPlan, error) {
	if req.Model == "" {
		req.Model = defaultModel
	}
	opt := claudecode.Options{Command: m.cfg.Command, Program: m.program, Upstream: m.base, Foreign: m.base != home, Env: m.cfg.CLIEnv, MaxRetries: m.cfg.MaxRetries}
	if m.cfg.APIKey != "" {
		opt.Credential = &llm.Credential{Name: "api_key", Upstream: m.base, Header: "x-api-key"}
	} else if modelhttp.Loopback(m.base) {
		opt.Credential = &llm.Credential{Upstream: m.base}
	}
	return claudecode.Plan(req, opt)
}

// ParseCLI reads what Claude Code prints.
func (m *Model) ParseCLI(context.Context) (llm.Parser, error) {
	return claudecode.NewParser(claudecode.ParserOptions{}), nil
}

// Complete asks the Messages API.
func (m *Model) Complete(ctx context.Context, req llm.Request, progress func(llm.Progress) error) (llm.Turn, error) {
	if len(req.Messages) == 0 {
		return llm.Turn{}, errdef.New(errdef.ErrInvalid, "the conversation is empty")
	}
	if progress == nil {
		progress = func(llm.Progress) error { return nil }
	}
	if req.Model == "" {
		req.Model = defaultModel
	}
	body, err := m.encode(req)
	if err != nil {
		return llm.Turn{}, err
	}
	var turn llm.Turn
	err = m.client.Do(ctx, modelhttp.Request{Method: http.MethodPost, Path: "/v1/messages", Body: body, Accept: "text/event-stream", Model: req.Model},
		func(r llm.Retry) error { return progress(llm.Progress{Retry: &r}) },
		m.reader(&turn, progress))
	return turn, err
}
