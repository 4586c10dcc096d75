package ollama

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/internal/modelhttp"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// Bounds on what a server says of its models.
const (
	maxModels    = 200
	maxListBytes = 16 << 20
)

// model is what the server says of one.
type model struct {
	tools   bool
	context int // tokens; 0 when unknown
	remote  bool
}

// context is what a model is loaded with.
func (m *Model) context(of model) int {
	size := m.cfg.NumCtx
	if size == 0 {
		size = defaultContext
	}
	if of.context > 0 {
		size = min(size, of.context)
	}
	return size
}

// installed lists the models, the newest first, as the server does.
func (m *Model) installed(ctx context.Context) ([]string, error) {
	var list struct {
		Models []struct {
			Name string `json:"name"`
		} `json:"models"`
	}
	if err := m.get(ctx, http.MethodGet, "/api/tags", nil, "", &list); err != nil {
		var known *errdef.Error
		if errors.As(err, &known) && known.Reason == "provider_unavailable" {
			return nil, known.WithRemedy("start Ollama on that machine (ollama serve), or set base_url in the llm block")
		}
		return nil, err
	}
	var names []string
	for _, listed := range list.Models[:min(len(list.Models), maxModels)] {
		if listed.Name != "" && !slices.Contains(names, listed.Name) {
			names = append(names, listed.Name)
		}
	}
	return names, nil
}

// show asks what a model can do, once.
func (m *Model) show(ctx context.Context, name string) (model, error) {
	m.mu.Lock()
	known, ok := m.known[name]
	m.mu.Unlock()
	if ok {
		return known, nil
	}
	var shown struct {
		Capabilities []string                   `json:"capabilities"`
		ModelInfo    map[string]json.RawMessage `json:"model_info"`
		RemoteHost   string                     `json:"remote_host"`
	}
	if err := m.get(ctx, http.MethodPost, "/api/show", map[string]string{"model": name}, name, &shown); err != nil {
		return model{}, err
	}
	known = model{tools: slices.Contains(shown.Capabilities, "tools"), remote: shown.RemoteHost != ""}
	for key, value := range shown.ModelInfo {
		if strings.HasSuffix(key, ".context_length") {
			json.Unmarshal(value, &known.context) // what is no number is not known
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) < maxModels {
		m.known[name] = known
	}
	return known, nil
}

func (m *Model) get(ctx context.Context, method, path string, body any, model string, into any) error {
	req := modelhttp.Request{Method: method, Path: path, Model: model}
	if body != nil {
		var err error
		if req.Body, err = json.Marshal(body); err != nil {
			return err
		}
	}
	return m.client.Do(ctx, req, nil, func(from io.Reader) error {
		var odd *json.UnmarshalTypeError
		if err := json.NewDecoder(io.LimitReader(from, maxListBytes)).Decode(into); err != nil && !errors.As(err, &odd) {
			return errdef.New(errdef.ErrDataLoss, "the answer of %s to %s is no JSON: %w", m.base, path, err).
				WithRemedy("check that base_url in the llm block names an Ollama server")
		}
		return nil
	})
}

// choose fills in the default model.
func (m *Model) choose(ctx context.Context, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	d, err := m.Describe(ctx)
	if err != nil {
		return "", err
	}
	if d.DefaultModel == "" {
		return "", errdef.New(errdef.ErrInvalid, "no model is named, and Ollama has none that can call tools").WithReason("no_model").
			WithRemedy("set model in the llm block, and pull = true to have it fetched, or run: ollama pull NAME")
	}
	return d.DefaultModel, nil
}

// ready sees to it that a model is there, and can call tools if that is needed.
func (m *Model) ready(ctx context.Context, name string, tools bool, progress func(llm.Progress) error) (model, error) {
	shown, err := m.show(ctx, name)
	if errors.Is(err, errdef.ErrNotFound) && m.cfg.Pull {
		if err := m.pull(ctx, name, progress); err != nil {
			return model{}, err
		}
		shown, err = m.show(ctx, name)
	}
	if errors.Is(err, errdef.ErrNotFound) {
		return model{}, errdef.New(errdef.ErrNotFound, "Ollama at %s has no model %q", m.base, name).WithReason("no_such_model").
			WithRemedy("run: ollama pull %s; or set pull = true in the llm block%s", name, m.others(ctx, nil))
	}
	if err != nil {
		return model{}, err
	}
	if tools && !shown.tools {
		return model{}, errdef.New(errdef.ErrUnsupported, "the model %q cannot call tools", name).WithReason("model_without_tools").
			WithRemedy("choose a model with the capability tools, or set tools = [] in the agent%s", m.others(ctx, func(o model) bool { return o.tools }))
	}
	return shown, nil
}

// others lists models for a remedy.
func (m *Model) others(ctx context.Context, fit func(model) bool) string {
	names, err := m.installed(ctx)
	if err != nil {
		return ""
	}
	var good []string
	for _, name := range names {
		shown, err := m.show(ctx, name)
		if err == nil && (fit == nil || fit(shown)) && len(good) < 20 {
			good = append(good, name)
		}
	}
	if len(good) == 0 {
		return ""
	}
	return "; there are " + strings.Join(good, ", ")
}

// pull fetches a model, and tells how far it is as a retry, which is the contract's word for "it takes longer".
func (m *Model) pull(ctx context.Context, name string, progress func(llm.Progress) error) error {
	m.pulling.Lock()
	defer m.pulling.Unlock()
	if _, err := m.show(ctx, name); err == nil {
		return nil // another agent has fetched it
	}
	body, err := json.Marshal(map[string]any{"model": name, "stream": true})
	if err != nil {
		return err
	}
	return m.client.Do(ctx, modelhttp.Request{Method: http.MethodPost, Path: "/api/pull", Body: body, Model: name}, nil, func(from io.Reader) error {
		return readPull(name, from, func(said string) error {
			if progress == nil {
				return nil
			}
			return progress(llm.Progress{Retry: &llm.Retry{Attempt: 1, Reason: said}})
		})
	})
}

// readPull reads the progress of a pull. It tells every tenth of a layer.
func readPull(name string, from io.Reader, tell func(string) error) error {
	lines := newLines(from)
	told := ""
	for {
		line, err := lines.next()
		if err != nil {
			return broken(err)
		}
		var p struct {
			Status    string `json:"status"`
			Error     string `json:"error"`
			Total     int64  `json:"total"`
			Completed int64  `json:"completed"`
		}
		if json.Unmarshal(line, &p) != nil {
			continue
		}
		if p.Error != "" {
			return errdef.New(errdef.ErrNotFound, "Ollama cannot fetch the model %q: %.500s", name, p.Error).WithReason("pull_failed").
				WithRemedy("check the model's name at ollama.com/library, and that the server reaches the internet")
		}
		if p.Status == "success" {
			return nil
		}
		said := "pulling " + name
		if p.Total > 0 && p.Completed >= 0 {
			said = fmt.Sprintf("pulling %s: %d%% of %d MB", name, min(p.Completed*10/p.Total, 10)*10, p.Total>>20)
		}
		if said == told {
			continue
		}
		told = said
		if err := tell(said); err != nil {
			return err
		}
	}
}
