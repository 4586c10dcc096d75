package codex

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/voidbox-run/voidbox/internal/modelhttp"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

const (
	provider = "voidbox"
	keyEnv   = "OPENAI_API_KEY"
	// noKey stands for a credential where the server wants none: Codex insists on the variable.
	noKey = "voidbox-no-key"
)

// Options are what the plugin adds to a request.
type Options struct {
	Command    string          // program; empty means codex
	Upstream   string          // where the models really are
	Credential *llm.Credential // that the broker puts into requests; nil without one
	Effort     string
	Env        map[string]string
}

// Plan says how Codex is started.
func Plan(req llm.CLIRequest, opt Options) (llm.CLIPlan, error) {
	if req.Prompt == "" {
		return llm.CLIPlan{}, errdef.New(errdef.ErrInvalid, "the prompt is empty")
	}
	if !path.IsAbs(req.Home) {
		return llm.CLIPlan{}, errdef.New(errdef.ErrInvalid, "the home %q is not an absolute path", req.Home)
	}
	command := opt.Command
	if command == "" {
		command = "codex"
	}
	baseURL := req.BaseURL
	if baseURL == "" {
		baseURL = opt.Upstream
	}
	home := path.Join(req.Home, ".codex")
	p := llm.CLIPlan{
		Args: []string{
			command, "exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--model", req.Model, "-",
		},
		Env:      map[string]string{"CODEX_HOME": home, keyEnv: req.Placeholder},
		Stdin:    []byte(req.Prompt),
		Hosts:    []string{modelhttp.HostPort(baseURL)},
		Programs: []string{command, "bash"},
		Files:    []llm.File{{Path: path.Join(home, "config.toml"), Content: config(req, baseURL, opt.Effort), Mode: 0o600}},
	}
	if req.Placeholder == "" {
		p.Env[keyEnv] = noKey
	}
	if opt.Credential != nil {
		p.Credentials = []llm.Credential{*opt.Credential}
	}
	maps.Copy(p.Env, opt.Env)
	return p, nil
}

// retries of a request. The broker says why it refuses one, and a server that is not there is not there.
const retries = 2

// quiet keeps Codex from servers that are none of the agent's business, and that a sandbox does not reach, and from trying for ever.
const quiet = `
[analytics]
enabled = false

[features]
apps = false
plugins = false
remote_plugin = false
unbounded_connection_retries = false
`

// config writes config.toml. Its strings are written as JSON's, whose escapes are among TOML's (TOML 1.0, "String").
func config(req llm.CLIRequest, baseURL, effort string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "model_provider = %s\ncheck_for_update_on_startup = false\n", quote(provider))
	if req.System != "" {
		fmt.Fprintf(&b, "developer_instructions = %s\n", quote(req.System))
	}
	if effort != "" {
		fmt.Fprintf(&b, "model_reasoning_effort = %s\n", quote(effort))
	}
	b.WriteString(quiet)
	fmt.Fprintf(&b, "\n[model_providers.%s]\nname = %s\nbase_url = %s\nenv_key = %s\nwire_api = \"responses\"\n"+
		"request_max_retries = %d\nstream_max_retries = %d\n", provider, quote(provider), quote(baseURL), quote(keyEnv), retries, retries)
	for _, s := range req.MCPServers {
		fmt.Fprintf(&b, "\n[mcp_servers.%s]\n", quote(s.Name))
		if len(s.Command) == 0 {
			fmt.Fprintf(&b, "url = %s\n", quote(s.URL))
			continue
		}
		args := make([]string, 0, len(s.Command))
		for _, arg := range s.Command[1:] {
			args = append(args, quote(arg))
		}
		fmt.Fprintf(&b, "command = %s\nargs = [%s]\n", quote(s.Command[0]), strings.Join(args, ", "))
		if len(s.Env) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n[mcp_servers.%s.env]\n", quote(s.Name))
		for _, name := range slices.Sorted(maps.Keys(s.Env)) {
			fmt.Fprintf(&b, "%s = %s\n", quote(name), quote(s.Env[name]))
		}
	}
	return b.Bytes()
}

// quote writes a TOML string. DEL is the one character that JSON leaves alone and TOML does not take.
func quote(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return `""` // a string always encodes
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}
