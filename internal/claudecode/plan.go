package claudecode

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"strconv"

	"github.com/voidbox-run/voidbox/internal/modelhttp"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

const (
	defaultCommand = "claude"
	defaultRetries = 2
	// noKey stands for a credential where the server wants none: without any, Claude Code asks for a login.
	noKey = "voidbox-no-key"
)

// Options are what a plugin adds to a request.
type Options struct {
	Command    string          // program; empty means claude
	Program    []byte          // copied into the sandbox and used in place of Command
	Upstream   string          // where the models really are
	Credential *llm.Credential // that the broker puts into requests; nil without one
	Foreign    bool            // the models are not Anthropic's
	MaxRetries *int
	Env        map[string]string
}

// Plan says how Claude Code is started.
func Plan(req llm.CLIRequest, opt Options) (llm.CLIPlan, error) {
	if req.Prompt == "" && !req.Interactive {
		return llm.CLIPlan{}, errdef.New(errdef.ErrInvalid, "the prompt is empty")
	}
	command := opt.Command
	if command == "" {
		command = defaultCommand
	}
	programs, files := []string{command, "bash"}, []llm.File(nil)
	if opt.Program != nil {
		if !path.IsAbs(req.Home) {
			return llm.CLIPlan{}, errdef.New(errdef.ErrInvalid, "the home %q is not an absolute path", req.Home)
		}
		command = path.Join(req.Home, ".voidbox", "claude")
		programs, files = []string{"bash"}, []llm.File{{Path: command, Content: opt.Program, Mode: 0o755}}
	}
	baseURL := req.BaseURL
	if baseURL == "" {
		baseURL = opt.Upstream
	}
	args := []string{command, "-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages"}
	if req.Interactive {
		args = args[:1]
	}
	p := llm.CLIPlan{
		Args: append(args, "--dangerously-skip-permissions", "--model", req.Model),
		Env: map[string]string{
			"ANTHROPIC_BASE_URL":                       baseURL,
			"ANTHROPIC_API_KEY":                        req.Placeholder,
			"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
			"DISABLE_AUTOUPDATER":                      "1",
			"CLAUDE_CODE_MAX_RETRIES":                  strconv.Itoa(retries(opt.MaxRetries)),
			"IS_SANDBOX":                               "1",
		},
		Stdin:    []byte(req.Prompt),
		Hosts:    []string{modelhttp.HostPort(baseURL)},
		Programs: programs,
		Files:    files,
	}
	if req.Placeholder == "" {
		p.Env["ANTHROPIC_API_KEY"] = noKey
	}
	if opt.Foreign {
		p.Env["ENABLE_TOOL_SEARCH"] = "false"
		p.Env["CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS"] = "1"
	}
	if req.MaxTurns > 0 && !req.Interactive {
		p.Args = append(p.Args, "--max-turns", strconv.Itoa(req.MaxTurns))
	}
	if req.System != "" {
		p.Args = append(p.Args, "--append-system-prompt", req.System)
	}
	if opt.Credential != nil {
		p.Credentials = []llm.Credential{*opt.Credential}
	}
	maps.Copy(p.Env, opt.Env)
	if err := addMCP(&p, req); err != nil || !req.Interactive {
		return p, err
	}
	return p, interactive(&p, req)
}

// interactive answers beforehand what Claude Code asks a new user at its first start: theme, trust in the directory, the key of the
// environment, leave to do without asking. In a sandbox that is made anew each time, each start is the first.
func interactive(p *llm.CLIPlan, req llm.CLIRequest) error {
	if !path.IsAbs(req.Home) {
		return errdef.New(errdef.ErrInvalid, "the home %q is not an absolute path", req.Home)
	}
	key := p.Env["ANTHROPIC_API_KEY"]
	settings, err := json.MarshalIndent(map[string]any{
		"hasCompletedOnboarding": true, "theme": "dark", "bypassPermissionsModeAccepted": true,
		"customApiKeyResponses": map[string]any{"approved": []string{key[max(len(key)-20, 0):]}, "rejected": []string{}},
		"projects":              map[string]any{req.WorkingDir: map[string]any{"hasTrustDialogAccepted": true}},
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the settings: %w", err)
	}
	p.Files = append(p.Files, llm.File{Path: path.Join(req.Home, ".claude.json"), Content: settings, Mode: 0o600})
	p.Stdin = nil
	if req.Prompt != "" {
		p.Args = append(p.Args, "--", req.Prompt)
	}
	return nil
}

func retries(n *int) int {
	if n == nil {
		return defaultRetries
	}
	return *n
}

// addMCP hands over the MCP servers, and no others: what lies about in the workspace is not asked for.
func addMCP(p *llm.CLIPlan, req llm.CLIRequest) error {
	if len(req.MCPServers) == 0 {
		return nil
	}
	if !path.IsAbs(req.Home) {
		return errdef.New(errdef.ErrInvalid, "the home %q is not an absolute path", req.Home)
	}
	type server struct {
		Type    string            `json:"type,omitempty"`
		Command string            `json:"command,omitempty"`
		Args    []string          `json:"args,omitempty"`
		Env     map[string]string `json:"env,omitempty"`
		URL     string            `json:"url,omitempty"`
	}
	servers := map[string]server{}
	for _, s := range req.MCPServers {
		if len(s.Command) > 0 {
			servers[s.Name] = server{Command: s.Command[0], Args: s.Command[1:], Env: s.Env}
		} else {
			servers[s.Name] = server{Type: "http", URL: s.URL}
		}
	}
	content, err := json.MarshalIndent(map[string]any{"mcpServers": servers}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the MCP servers: %w", err)
	}
	file := path.Join(req.Home, ".voidbox", "claude-mcp.json")
	p.Files = append(p.Files, llm.File{Path: file, Content: content, Mode: 0o600})
	p.Args = append(p.Args, "--mcp-config", file, "--strict-mcp-config")
	return nil
}
