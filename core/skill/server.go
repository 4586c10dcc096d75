package skill

import (
	"github.com/voidbox-run/voidbox/core/plan"
	"github.com/voidbox-run/voidbox/sdk/errdef"
	"github.com/voidbox-run/voidbox/sdk/llm"
)

// server makes a skill of a Model Context Protocol server. The command-line agent in the sandbox starts it or connects to it, and
// learns from it what it can do, so that nothing of it is provisioned.
func server(d *plan.Skill) (Skill, error) {
	if (len(d.Command) == 0) == (d.URL == "") {
		return Skill{}, errdef.New(errdef.ErrInvalid, "an MCP server has either a command or a URL")
	}
	s := Skill{Name: nameOf(d.Label), Description: oneLine(d.Description)}
	s.Server = &llm.MCPServer{Name: s.Name, Command: d.Command, Env: d.Env, URL: d.URL}
	return s, s.checkName()
}

// Servers are those among skills that are MCP servers.
func Servers(skills []Skill) []llm.MCPServer {
	var servers []llm.MCPServer
	for _, s := range skills {
		if s.Server != nil {
			servers = append(servers, *s.Server)
		}
	}
	return servers
}
