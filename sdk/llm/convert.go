package llm

import (
	"encoding/json"
	"io/fs"
	"math"
	"strings"
	"time"

	pluginv1 "github.com/voidbox-run/voidbox/api/voidbox/plugin/v1"
)

// text makes s fit for a protobuf string, which must be UTF-8: what guests print often is not.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func texts(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = text(s)
	}
	return out
}

// count turns an int into the wire's unsigned form; what does not fit becomes 0, unknown.
func count(n int) uint32 {
	if n < 0 || int64(n) > math.MaxUint32 {
		return 0
	}
	return uint32(n)
}

func convert[A, B any](list []A, f func(A) B) []B {
	if len(list) == 0 {
		return nil
	}
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = f(a)
	}
	return out
}

func descriptionToProto(d Description) *pluginv1.DescribeLLMResponse {
	return &pluginv1.DescribeLLMResponse{
		Cli: d.CLI, Native: d.Native, DefaultModel: d.DefaultModel, Dialect: d.Dialect, PriceList: d.PriceList, Interactive: d.Interactive,
		Models: convert(d.Models, func(m Model) *pluginv1.ModelInfo {
			info := &pluginv1.ModelInfo{
				Id: m.ID, ContextTokens: count(m.ContextTokens), MaxOutputTokens: count(m.MaxOutputTokens), Tools: m.Tools,
			}
			if p := m.Price; p != nil {
				info.Price = &pluginv1.Price{Input: p.Input, Output: p.Output, CacheRead: p.CacheRead, CacheWrite: p.CacheWrite}
			}
			return info
		}),
	}
}

func descriptionFromProto(d *pluginv1.DescribeLLMResponse) (Description, error) {
	if len(d.GetModels()) > maxList {
		return Description{}, broken("%d models, at most %d are allowed", len(d.GetModels()), maxList)
	}
	out := Description{CLI: d.GetCli(), Native: d.GetNative(), DefaultModel: d.GetDefaultModel(), Dialect: d.GetDialect(), PriceList: d.GetPriceList(), Interactive: d.GetInteractive()}
	for _, m := range d.GetModels() {
		model := Model{
			ID: m.GetId(), ContextTokens: int(m.GetContextTokens()), MaxOutputTokens: int(m.GetMaxOutputTokens()), Tools: m.GetTools(),
		}
		if p := m.GetPrice(); p != nil {
			model.Price = &Price{Input: p.GetInput(), Output: p.GetOutput(), CacheRead: p.GetCacheRead(), CacheWrite: p.GetCacheWrite()}
			for _, usd := range []float64{p.GetInput(), p.GetOutput(), p.GetCacheRead(), p.GetCacheWrite()} {
				if usd < 0 || math.IsNaN(usd) || math.IsInf(usd, 0) {
					return Description{}, broken("model %.64q has a price of %v dollars", m.GetId(), usd)
				}
			}
		}
		out.Models = append(out.Models, model)
	}
	return out, nil
}

func cliRequestToProto(r CLIRequest) *pluginv1.PlanCLIRequest {
	return &pluginv1.PlanCLIRequest{
		Prompt: text(r.Prompt), System: text(r.System), Model: r.Model, BaseUrl: r.BaseURL, Placeholder: r.Placeholder,
		McpServers: convert(r.MCPServers, mcpToProto), MaxTurns: count(r.MaxTurns), Home: r.Home, WorkingDir: r.WorkingDir, Interactive: r.Interactive,
	}
}

func cliRequestFromProto(r *pluginv1.PlanCLIRequest) CLIRequest {
	return CLIRequest{
		Prompt: r.GetPrompt(), System: r.GetSystem(), Model: r.GetModel(), BaseURL: r.GetBaseUrl(), Placeholder: r.GetPlaceholder(),
		MCPServers: convert(r.GetMcpServers(), mcpFromProto), MaxTurns: int(r.GetMaxTurns()), Home: r.GetHome(), WorkingDir: r.GetWorkingDir(), Interactive: r.GetInteractive(),
	}
}

func mcpToProto(m MCPServer) *pluginv1.MCPServer {
	out := &pluginv1.MCPServer{Name: m.Name}
	switch {
	case len(m.Command) > 0:
		out.Transport = &pluginv1.MCPServer_Stdio{Stdio: &pluginv1.MCPStdio{Command: m.Command[0], Args: m.Command[1:], Env: m.Env}}
	case m.URL != "":
		out.Transport = &pluginv1.MCPServer_HttpUrl{HttpUrl: m.URL}
	}
	return out
}

func mcpFromProto(m *pluginv1.MCPServer) MCPServer {
	out := MCPServer{Name: m.GetName(), URL: m.GetHttpUrl()}
	if s := m.GetStdio(); s != nil {
		out.Command, out.Env = append([]string{s.GetCommand()}, s.GetArgs()...), s.GetEnv()
	}
	return out
}

func cliPlanToProto(p CLIPlan) *pluginv1.PlanCLIResponse {
	return &pluginv1.PlanCLIResponse{
		Args: texts(p.Args), Env: p.Env, Stdin: p.Stdin, Hosts: p.Hosts, Programs: p.Programs,
		Files: convert(p.Files, func(f File) *pluginv1.GuestFile {
			return &pluginv1.GuestFile{Path: text(f.Path), Content: f.Content, Mode: uint32(f.Mode.Perm())}
		}),
		Credentials: convert(p.Credentials, func(c Credential) *pluginv1.CredentialNeed {
			return &pluginv1.CredentialNeed{Name: c.Name, Upstream: c.Upstream, Header: c.Header, Prefix: c.Prefix}
		}),
	}
}

func cliPlanFromProto(p *pluginv1.PlanCLIResponse) CLIPlan {
	return CLIPlan{
		Args: p.GetArgs(), Env: p.GetEnv(), Stdin: p.GetStdin(), Hosts: p.GetHosts(), Programs: p.GetPrograms(),
		Files: convert(p.GetFiles(), func(f *pluginv1.GuestFile) File {
			return File{Path: f.GetPath(), Content: f.GetContent(), Mode: fs.FileMode(f.GetMode()).Perm()}
		}),
		Credentials: convert(p.GetCredentials(), func(c *pluginv1.CredentialNeed) Credential {
			return Credential{Name: c.GetName(), Upstream: c.GetUpstream(), Header: c.GetHeader(), Prefix: c.GetPrefix()}
		}),
	}
}

func usageToProto(u Usage) *pluginv1.Usage {
	return &pluginv1.Usage{
		InputTokens: u.InputTokens, OutputTokens: u.OutputTokens, CacheReadTokens: u.CacheReadTokens,
		CacheWriteTokens: u.CacheWriteTokens, CostUsd: u.CostUSD, CostKnown: u.CostKnown,
	}
}

func usageFromProto(u *pluginv1.Usage) Usage {
	return Usage{
		InputTokens: u.GetInputTokens(), OutputTokens: u.GetOutputTokens(), CacheReadTokens: u.GetCacheReadTokens(),
		CacheWriteTokens: u.GetCacheWriteTokens(), CostUSD: u.GetCostUsd(), CostKnown: u.GetCostKnown(),
	}
}

func textToProto(t Text) *pluginv1.AgentText {
	return &pluginv1.AgentText{Text: text(t.Text), Thinking: t.Thinking, Partial: t.Partial}
}

func textFromProto(t *pluginv1.AgentText) Text {
	return Text{Text: t.GetText(), Thinking: t.GetThinking(), Partial: t.GetPartial()}
}

func retryToProto(r Retry) *pluginv1.AgentRetry {
	ms := min(max(r.Delay.Milliseconds(), 0), math.MaxUint32)
	return &pluginv1.AgentRetry{Attempt: count(r.Attempt), Reason: text(r.Reason), DelayMs: uint32(ms)}
}

func retryFromProto(r *pluginv1.AgentRetry) Retry {
	return Retry{Attempt: int(r.GetAttempt()), Reason: r.GetReason(), Delay: time.Duration(r.GetDelayMs()) * time.Millisecond}
}

func callToProto(c ToolCall) *pluginv1.ToolCall {
	return &pluginv1.ToolCall{Id: text(c.ID), Name: text(c.Name), ArgumentsJson: c.Arguments}
}

func callFromProto(c *pluginv1.ToolCall) ToolCall {
	return ToolCall{ID: c.GetId(), Name: c.GetName(), Arguments: json.RawMessage(c.GetArgumentsJson())}
}

func resultToProto(r ToolResult) *pluginv1.ToolResult {
	return &pluginv1.ToolResult{CallId: text(r.CallID), Content: text(r.Content), Error: r.Error}
}

func resultFromProto(r *pluginv1.ToolResult) ToolResult {
	return ToolResult{CallID: r.GetCallId(), Content: r.GetContent(), Error: r.GetError()}
}
