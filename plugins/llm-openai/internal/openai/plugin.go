package openai

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/voidbox-run/voidbox/internal/modelhttp"
	"github.com/voidbox-run/voidbox/plugins/llm-openai/internal/codex"
	"github.com/voidbox-run/voidbox/sdk"
	"github.com/voidbox-run/voidbox/sdk/base"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// home is where OpenAI's own API is.
const home = "https://api.openai.com/v1"

// The two APIs.
const (
	apiChat      = "chat"
	apiResponses = "responses"
)

// config is the plugin's block.
type config struct {
	modelhttp.Arguments
	API     string            `json:"api"`
	Effort  string            `json:"effort"`
	Headers map[string]string `json:"headers"`
}

// Model is the provider. It is of use once it is configured.
type Model struct {
	cfg     config
	base    string
	api     string
	client  *modelhttp.Client
	backoff time.Duration // of tests
}

// Plugin describes the plugin.
func Plugin() sdk.Plugin { return (&Model{}).plugin() }

func (m *Model) plugin() sdk.Plugin {
	return sdk.Plugin{
		Name:        "openai",
		Version:     "0.1.0",
		Description: "OpenAI's models, and those of any server that speaks its APIs: Codex inside the sandbox (mode cli), or the native loop.",
		Env:         modelhttp.Env,
		Schema: base.Schema{Attributes: []base.Attribute{
			{Name: "api_key", Type: "string", Sensitive: true, Description: "Key: a reference to a secret. Needed unless base_url names a server that wants none."},
			{Name: "base_url", Type: "string", Description: "Server, such as http://localhost:1234/v1 or https://openrouter.ai/api/v1; OpenAI's by default."},
			{Name: "api", Type: "string", Description: "chat or responses: which API the server is asked by; responses for OpenAI, chat for others."},
			{Name: "max_tokens", Type: "number", Description: "Tokens that the model may write in one turn; by default what the server allows."},
			{Name: "effort", Type: "string", Description: "How much the model is to reason: minimal, low, medium, high or what else it knows."},
			{Name: "headers", Type: "map(string)", Description: "Further headers of requests, such as HTTP-Referer. No secrets: they are not kept out of logs."},
			{Name: "max_retries", Type: "number", Description: "Further attempts when the provider is overloaded or out of reach; 4 by default."},
			{Name: "idle_timeout", Type: "string", Description: "How long the provider may send nothing before it is given up, such as 90s; 5m by default."},
			{Name: "command", Type: "string", Description: "Codex inside the sandbox: a name or a path; codex by default."},
			{Name: "cli_env", Type: "map(string)", Description: "Further environment variables of Codex."},
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
	header := http.Header{"User-Agent": {"voidbox"}}
	for name, value := range m.cfg.Headers {
		header.Set(name, value)
	}
	if m.cfg.APIKey != "" {
		header.Set("Authorization", "Bearer "+m.cfg.APIKey)
	}
	m.client = m.cfg.Client(m.name(), m.base, header, m.backoff)
	return nil
}

func (m *Model) name() string  { return modelhttp.Foreign("OpenAI", home, m.base) }
func (m *Model) foreign() bool { return m.base != home }

func (m *Model) check() (diags base.Diagnostics) {
	wrong := func(argument, summary, detail string) {
		diags = append(diags, modelhttp.Wrong(argument, summary, detail))
	}
	var err error
	if m.base, err = baseURL(m.cfg.BaseURL); err != nil {
		wrong("base_url", "Invalid URL", err.Error())
	}
	diags = append(diags, m.cfg.Check()...)
	if !m.foreign() && m.cfg.APIKey == "" {
		wrong("api_key", "No key for OpenAI", modelhttp.NoKey("OPENAI_API_KEY", "openai"))
	}
	switch m.api = m.cfg.API; m.api {
	case apiChat, apiResponses:
	case "":
		m.api = apiResponses
		if m.foreign() {
			m.api = apiChat
		}
	default:
		wrong("api", "Unknown API", "api must be chat or responses.")
	}
	for name, value := range m.cfg.Headers {
		if strings.EqualFold(name, "authorization") || modelhttp.CheckKey(name) != nil || strings.ContainsAny(value, "\r\n\x00") {
			wrong("headers", "Invalid header", "The header "+name+" cannot be set here; a key belongs into api_key.")
		}
	}
	return diags
}

// baseURL adds the /v1 that people leave out.
func baseURL(given string) (string, error) {
	if given == "" {
		return home, nil
	}
	clean, err := modelhttp.BaseURL(given)
	if err != nil {
		return "", err
	}
	if u, err := url.Parse(clean); err == nil && u.Path == "" {
		clean += "/v1"
	}
	return clean, nil
}

func (m *Model) close() {
	if m.client != nil {
		m.client.Close()
	}
}

// Describe says what is known without asking anybody: OpenAI's models, and nothing of other servers.
func (m *Model) Describe(context.Context) (llm.Description, error) {
	d := llm.Description{CLI: true, Native: true, Dialect: "openai-" + m.api}
	if m.foreign() {
		return d, nil
	}
	d.DefaultModel, d.PriceList = defaultModel, priceList
	for _, known := range models {
		known.MaxOutputTokens = m.cfg.MaxTokens
		d.Models = append(d.Models, known)
	}
	return d, nil
}

// PlanCLI starts Codex.
func (m *Model) PlanCLI(ctx context.Context, req llm.CLIRequest) (llm.CLIPlan, error) {
	if err := m.choose(ctx, &req.Model); err != nil {
		return llm.CLIPlan{}, err
	}
	opt := codex.Options{Command: m.cfg.Command, Upstream: m.base, Effort: m.cfg.Effort, Env: m.cfg.CLIEnv}
	if m.cfg.APIKey != "" {
		opt.Credential = &llm.Credential{Name: "api_key", Upstream: m.base, Header: "authorization", Prefix: "Bearer "}
	} else if modelhttp.Loopback(m.base) {
		opt.Credential = &llm.Credential{Upstream: m.base}
	}
	return codex.Plan(req, opt)
}

// ParseCLI reads what Codex prints.
func (m *Model) ParseCLI(context.Context) (llm.Parser, error) { return codex.NewParser(), nil }

// choose fills in the default model. Only OpenAI has one.
func (m *Model) choose(ctx context.Context, model *string) error {
	if *model != "" {
		return nil
	}
	if m.foreign() {
		return errdef.New(errdef.ErrInvalid, "no model is named, and %s has no default", m.name()).WithReason("no_model").
			WithRemedy("set model in the llm block%s", m.offered(ctx))
	}
	*model = defaultModel
	return nil
}

// offered lists the models of a server for a remedy, if it tells in time.
func (m *Model) offered(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	err := m.client.Do(ctx, modelhttp.Request{Method: http.MethodGet, Path: "/models"}, nil, func(from io.Reader) error {
		return json.NewDecoder(io.LimitReader(from, 4<<20)).Decode(&list)
	})
	if err != nil || len(list.Data) == 0 {
		return ""
	}
	var names []string
	for _, model := range list.Data[:min(len(list.Data), 20)] {
		names = append(names, model.ID)
	}
	return "; the server has " + strings.Join(names, ", ")
}

// Complete asks for the next turn.
func (m *Model) Complete(ctx context.Context, req llm.Request, progress func(llm.Progress) error) (llm.Turn, error) {
	if len(req.Messages) == 0 {
		return llm.Turn{}, errdef.New(errdef.ErrInvalid, "the conversation is empty")
	}
	if err := m.choose(ctx, &req.Model); err != nil {
		return llm.Turn{}, err
	}
	if progress == nil {
		progress = func(llm.Progress) error { return nil }
	}
	encode, path, reader := m.encodeChat, "/chat/completions", m.readChat
	if m.api == apiResponses {
		encode, path, reader = m.encodeResponses, "/responses", m.readResponses
	}
	body, err := encode(req)
	if err != nil {
		return llm.Turn{}, err
	}
	var turn llm.Turn
	err = m.client.Do(ctx, modelhttp.Request{Method: http.MethodPost, Path: path, Body: body, Accept: "text/event-stream", Model: req.Model},
		func(r llm.Retry) error { return progress(llm.Progress{Retry: &r}) },
		func(from io.Reader) (err error) { turn, err = reader(req, from, progress); return err })
	var known *errdef.Error
	if errors.As(err, &known) && known.Reason == "no_such_model" && m.foreign() {
		return turn, known.WithRemedy("%s%s", known.Remedy, m.offered(ctx))
	}
	return turn, err
}

// outputLimit is what the model may write in this turn; 0 leaves it to the server.
func (m *Model) outputLimit(req llm.Request) int {
	if m.cfg.MaxTokens > 0 && (req.MaxOutputTokens == 0 || m.cfg.MaxTokens < req.MaxOutputTokens) {
		return m.cfg.MaxTokens
	}
	return req.MaxOutputTokens
}
