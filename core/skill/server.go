package skill

import (
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/core/skill/mcp"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// server makes a skill of a Model Context Protocol server. Whoever drives the model starts it or connects to it, and learns from it
// what it can do, so that nothing of it is provisioned.
func server(d *plan.Skill) (Skill, error) {
	if (len(d.Command) == 0) == (d.URL == "") {
		return Skill{}, errdef.New(errdef.ErrInvalid, "an MCP server has either a command or a URL")
	}
	s := Skill{Name: nameOf(d.Label), Description: oneLine(d.Description)}
	s.Servers = []mcp.Server{{
		MCPServer: llm.MCPServer{Name: s.Name, Command: d.Command, Env: d.Env, URL: d.URL},
		Host:      d.Host, Headers: d.Headers, Tools: d.Tools, Timeout: d.Timeout, Dir: d.Dir,
	}}
	return s, s.checkName()
}

// Servers are the MCP servers of skills.
func Servers(skills []Skill) []mcp.Server {
	var servers []mcp.Server
	for _, s := range skills {
		servers = append(servers, s.Servers...)
	}
	return servers
}
