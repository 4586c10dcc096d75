package skill

import (
	"context"
	"fmt"

	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/skill/mcp"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
	"github.com/voidbox-run/voidbox/sdk/skill"
)

// fromPlugin asks a plugin what it has: a directory, MCP servers, tools that it runs itself, or some of each.
func fromPlugin(ctx context.Context, d *plan.Skill, start func(context.Context, *plan.Skill) (skill.Skill, error)) (Skill, error) {
	source, err := start(ctx, d)
	if err != nil {
		return Skill{}, err
	}
	resolved, err := source.Resolve(ctx, d.Label)
	if err != nil {
		return Skill{}, err
	}
	here := *d
	if here.Description == "" {
		here.Description = resolved.Description
	}
	s := Skill{Name: nameOf(d.Label), Description: oneLine(here.Description)}
	if len(resolved.Files) > 0 {
		if s, err = fromFiles(&here, resolved.Files); err != nil {
			return Skill{}, err
		}
	}
	if err := s.checkName(); err != nil {
		return Skill{}, err
	}
	for _, server := range resolved.MCPServers {
		server.Name = s.Name + "-" + nameOf(server.Name)
		s.Servers = append(s.Servers, mcp.Server{MCPServer: server})
	}
	if len(resolved.Tools) > mcp.MaxTools {
		return Skill{}, errdef.New(errdef.ErrExhausted, "the plugin has %d tools, at most %d are allowed", len(resolved.Tools), mcp.MaxTools)
	}
	if len(s.Files)+len(s.Servers)+len(resolved.Tools) == 0 {
		return Skill{}, errdef.New(errdef.ErrInvalid, "the plugin offers nothing: no files, no servers and no tools").WithRemedy("report it to its author")
	}
	s.Tools, s.source = resolved.Tools, source
	return s, nil
}

// fromFiles makes a skill of a directory that a plugin hands over.
func fromFiles(d *plan.Skill, given []llm.File) (Skill, error) {
	if len(given) > MaxFiles {
		return Skill{}, errdef.New(errdef.ErrExhausted, "the plugin has %d files, at most %d are allowed", len(given), MaxFiles)
	}
	var files []File
	at, size := -1, 0
	for i, f := range given {
		if size += len(f.Content); size > MaxBytes {
			return Skill{}, errdef.New(errdef.ErrExhausted, "the plugin's files are larger than %d bytes", MaxBytes)
		}
		if f.Path == main {
			at = i
		}
		files = append(files, File{Path: f.Path, Content: f.Content, Mode: 0o644 | f.Mode.Perm()&0o111})
	}
	if at < 0 {
		return Skill{}, errdef.New(errdef.ErrInvalid, "the plugin's files have no %s among them", main).WithRemedy("report it to its author")
	}
	s, err := fromText(d, files[at].Content)
	if err != nil {
		return Skill{}, err
	}
	files[at], s.Files = s.Files[0], files
	return s, nil
}

// Call calls one of Tools.
func (s Skill) Call(ctx context.Context, call llm.ToolCall) (llm.ToolResult, error) {
	if s.source == nil {
		return llm.ToolResult{}, fmt.Errorf("skill %s has no tools", s.Name)
	}
	return s.source.CallTool(ctx, s.Name, call)
}

// colleague makes a skill of another agent.
func colleague(d *plan.Skill) (Skill, error) {
	if d.Agent == nil || d.Agent.Delegate == nil {
		return Skill{}, errdef.New(errdef.ErrInvalid, "it names no agent that tasks can be given to")
	}
	s := Skill{Name: nameOf(d.Label), Description: oneLine(d.Description), Agent: d.Agent, AgentName: d.Agent.Name}
	return s, s.check()
}
